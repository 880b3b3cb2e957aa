"""Functions of a file, sealed and used in the sqlite3 shell: no Python is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from click.testing import CliRunner

import udfvm.sqlite
from udfvm.cli import commands


def words_of_shell(file: Path, *lines: str) -> list[str]:
    """Seals the functions of a file, and returns the words that the shell prints."""
    program = shutil.which("sqlite3")
    assert program is not None, "the sqlite3 shell is needed: apt-get install sqlite3"
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code == 0, done.output
    found = subprocess.run(
        [program, "-bail", ":memory:"],
        input="\n".join([f".load {udfvm.sqlite.EXTENSION}", *lines]),
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/nowhere", "UDFVM_CACHE": os.environ["UDFVM_CACHE"]},
    )
    assert found.stderr == ""
    return found.stdout.split()
