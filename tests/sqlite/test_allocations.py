"""Each allocation of SQLite fails in its turn, while the extension is loaded and in statements of
every kind, in a program without Python.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from preloaded import SANITIZERS

import udfvm.sqlite
from udfvm.cli import commands

SOURCE = Path(__file__).resolve().parent / "embedding" / "allocations.c"
FUNCTIONS = """
import udfvm

@udfvm.udf
def allocated(value: int) -> int:
    return value + 1

@udfvm.udf
def texts(value: str) -> str:
    return value[::-1]
"""

pytestmark = pytest.mark.skipif(
    not Path("/usr/include/sqlite3.h").exists(), reason="sqlite3.h is not installed"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("allocations")
    functions = directory / "functions_of_allocations.py"
    functions.write_text(FUNCTIONS)
    for command in (["seal", "--replace", str(functions)], ["prepare"]):
        done = CliRunner().invoke(commands, command)
        assert done.exit_code == 0, done.output
    built = directory / "allocations"
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, SOURCE, "-o", built, "-lsqlite3", "-lpthread"], check=True)
    return built


@pytest.mark.parametrize("failing", [(), ("on",)], ids=["once", "from then on"])
def test_each_allocation_fails(program: Path, failing: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program, udfvm.sqlite.EXTENSION, *failing],
        capture_output=True,
        text=True,
        timeout=600,
        env={**SANITIZERS, "PATH": "/nowhere", "UDFVM_CACHE": os.environ["UDFVM_CACHE"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert len(counts) == 9 and min(counts) > 10, done.stdout
