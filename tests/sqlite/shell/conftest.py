"""What the tests of the shell share: the fixtures."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from preloaded import SANITIZERS
from shell_functions import SOURCE, Shell

import udfvm.sqlite
from udfvm.cli import commands


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file whose functions were sealed, and the Python runtime prepared, by the commands that
    users have.
    """
    file = tmp_path_factory.mktemp("sealed") / "functions.py"
    file.write_text(SOURCE)
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code == 0, done.output
    assert "score(dep_delay double, distance double) -> double" in done.output
    assert CliRunner().invoke(commands, ["prepare"]).exit_code == 0
    return file


@pytest.fixture
def shell(sealed: Path) -> Shell:
    program = shutil.which("sqlite3")
    assert program is not None, "the sqlite3 shell is needed: apt-get install sqlite3"

    def run(*commands_: str, database: str = ":memory:", fails: bool = False) -> str:
        lines = "\n".join((f".load {udfvm.sqlite.EXTENSION}", *commands_))
        environment = {**SANITIZERS, "PATH": "/nowhere", "UDFVM_CACHE": os.environ["UDFVM_CACHE"]}
        done = subprocess.run(
            [program, "-bail", database],
            input=lines,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr.strip() if fails else done.stdout.strip()

    return run
