"""The sources are typed and lint-clean, and keep to the rules that a machine can check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
C_SOURCES = [
    path
    for pattern in ("udfvm/**/*.[ch]", "guest/**/*.[ch]")
    for path in ROOT.glob(pattern)
    if not path.name.startswith("_core")
]


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("mypy",)], ids=["ruff", "mypy"])
def test_python(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_c_functions_are_short() -> None:
    """No function over 60 lines, give or take its braces."""
    long = []
    for path in C_SOURCES:
        start, name = 0, ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"^[a-z].*\)$", line):
                name = line
            elif line == "{":
                start = number
            elif line == "}" and start:
                if number - start > 62:
                    long.append(f"{path.relative_to(ROOT)}:{start}: {name}")
                start = 0
    assert not long


def test_the_core_has_no_python_in_it() -> None:
    for path in (ROOT / "udfvm" / "vmm" / "core").rglob("*.[ch]"):
        assert "Python.h" not in path.read_text()
