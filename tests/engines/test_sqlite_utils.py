"""The plugin for sqlite-utils, from its command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_sites import MODULE, environment_with_plugins

QUERY = "SELECT score(12, 300) AS found, vm_udf('picky', 2) AS picked"


@pytest.mark.parametrize(
    ("functions", "query", "found"),
    [
        (" functions.py:score, functions.py:picky", QUERY, [{"found": 4.0, "picked": 2}]),
        ("functions.py", "SELECT picky(7)", "ValueError: 7 is too much"),
        ("absent.py", "SELECT 1", "Error: UDFVM_FUNCTIONS: there is no file"),
        ("functions.py:none", "SELECT 1", "Error: UDFVM_FUNCTIONS: functions.py has no UDF 'none'"),
        ("broken.py", "SELECT 1", "broken.py fails at line 2: SyntaxError: "),
        ("json.nothing", "SELECT 1", "Error: UDFVM_FUNCTIONS: there is no module 'json.nothing'"),
        ("", "SELECT score(12, 300)", "no such function: score"),
    ],
)
def test_the_command(functions: str, query: str, found: object, tmp_path: Path) -> None:
    pytest.importorskip("pysqlite3")
    pytest.importorskip("sqlite_utils")
    (tmp_path / "functions.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import udfvm\ndef (:\n")
    environment = environment_with_plugins(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_utils", "query", "flights.db", query],
        env={**environment, "UDFVM_FUNCTIONS": functions},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if isinstance(found, str):
        assert done.returncode and found in done.stderr
        assert not done.stderr.startswith("Traceback")
    else:
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == found
