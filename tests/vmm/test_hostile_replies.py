"""What is accepted of a hostile guest's reply is safe for whoever uses it: nothing aborts the
process. See hostile_replies.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("polars")

from hostile_mutations import TYPES, Mutations

RANDOM = 150  # random mutations of each type


class Program:
    """The program, which runs what it is asked for in children: their ends do not end it."""

    def __init__(self, folder: Path) -> None:
        program = Path(__file__).parents[1] / "hostile_replies.py"
        self.output, self.errors = folder / "output", folder / "errors"
        self.process = subprocess.Popen(
            [sys.executable, program, "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object) -> int:
        """Returns how many replies were accepted. Fails with what killed the child."""
        assert self.process.stdin and self.process.stdout
        for path in (self.output, self.errors):
            path.write_text("")
        request = [*map(str, arguments), str(self.output), str(self.errors)]
        print(json.dumps(request), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        lines = self.output.read_text().splitlines()
        assert status == 0, (
            f"ended with {os.waitstatus_to_exitcode(status)} in"
            f" {lines[-1] if lines else 'nothing'}:\n{self.errors.read_text()[-2000:]}"
        )
        return int(lines[-1].removeprefix("accepted "))

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("hostile"))
    yield program
    program.close()


@pytest.mark.parametrize("index", range(len(TYPES)), ids=[str(type_) for type_ in TYPES])
def test_batches(run: Program, index: int) -> None:
    count = Mutations(TYPES[index]).count + RANDOM
    assert 0 < run("batches", index, 0, count) < count


def test_what_kills_a_child_is_named(run: Program) -> None:
    with pytest.raises(AssertionError, match="IndexError"):
        run("batches", len(TYPES), 0, 1)
    with pytest.raises(AssertionError, match="ended with -6 in a reply that kills"):
        run("die", 6)


def test_calls(run: Program) -> None:
    assert run("calls", 1, 40) > 0


def test_streams_in_column_batches(run: Program) -> None:
    assert run("streams", 1, 60) > 0


def test_sql(run: Program) -> None:
    assert run("sql", 0, 400) > 0
