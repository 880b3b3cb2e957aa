"""What is accepted of a hostile guest's reply is safe for whoever uses it: nothing aborts the
process. See hostile_replies.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("polars")

from hostile_mutations import TYPES, Mutations

RANDOM = 150  # random mutations of each type


def run(*arguments: object) -> int:
    """Runs the program; returns how many replies it accepted. Fails with what killed it."""
    program = Path(__file__).parents[1] / "hostile_replies.py"
    ended = subprocess.run(
        [sys.executable, program, *map(str, arguments)], capture_output=True, text=True
    )
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, (
        f"ended with {ended.returncode} in"
        f" {lines[-1] if lines else 'nothing'}:\n{ended.stderr[-2000:]}"
    )
    return int(lines[-1].removeprefix("accepted "))


@pytest.mark.parametrize("index", range(len(TYPES)), ids=[str(type_) for type_ in TYPES])
def test_batches(index: int) -> None:
    count = Mutations(TYPES[index]).count + RANDOM
    assert 0 < run("batches", index, 0, count) < count


def test_calls() -> None:
    assert run("calls", 1, 40) > 0


def test_streams_in_column_batches() -> None:
    assert run("streams", 1, 60) > 0


def test_sql() -> None:
    assert run("sql", 0, 400) > 0
