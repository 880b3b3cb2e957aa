"""Runs every file of sql_examples and compares what its statements give with its ``-- expect:``
lines.

An ``-- expect:`` line is a row: values separated by ``|``, NULL for null, a BLOB as x'..'. ``--
expect error:`` is the beginning of an error's text, ``-- expect plan:`` a part of a query plan.
They stand below their statement; a statement without them must just succeed, with no rows.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import apsw
import pytest

import udfvm.sqlite

EXAMPLES = Path(__file__).parents[2] / "sql_examples"
FILES = sorted(EXAMPLES.glob("*.sql"))
ROW = "-- expect:"
ERROR = "-- expect error:"
PLAN = "-- expect plan:"


@dataclass
class Step:
    """One statement, the rows it must give, and the error it must raise."""

    sql: str
    rows: list[str] = field(default_factory=list)
    error: str | None = None
    plan: str | None = None


def steps(text: str) -> list[Step]:
    """Splits an example into its statements."""
    result: list[Step] = []
    pending: list[str] = []
    for line in text.splitlines():
        if line.startswith(ROW):
            result[-1].rows.append(line.removeprefix(ROW).strip())
        elif line.startswith(PLAN):
            result[-1].plan = line.removeprefix(PLAN).strip()
        elif line.startswith(ERROR):
            result[-1].error = line.removeprefix(ERROR).strip()
        elif line.strip() and not line.startswith("--"):
            pending.append(line)
            if apsw.complete("\n".join(pending)):
                result.append(Step("\n".join(pending)))
                pending.clear()
    assert not pending, f"no end of statement: {pending}"
    return result


def shown(value: object) -> str:
    """A value as an expect line spells it."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"x'{value.hex()}'"
        case _:
            return str(value)


@pytest.fixture(scope="module")
def example_udfs() -> ModuleType:
    """sql_examples/udfs.py, which is no part of an installed package."""
    spec = importlib.util.spec_from_file_location("sql_example_udfs", EXAMPLES / "udfs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_examples() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example(file: Path, example_udfs: ModuleType, flights_db: Path, tmp_path: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("-- "), "an example begins with what it is about"
    database = tmp_path / "flights.db"
    shutil.copyfile(flights_db, database)
    connection = apsw.Connection(str(database))
    try:
        # A row that fills its memory may take longer than the usual limit on a busy machine.
        policy = udfvm.sqlite.Policy(allow_create=True, row_timeout=100)
        udfvm.sqlite.register(connection, *example_udfs.ALL, policy=policy)
        udfvm.sqlite.register(connection, *example_udfs.IN_SCHEMA, in_schema=True)
        for step in steps(text):
            if step.error is not None:
                with pytest.raises(apsw.Error) as caught:
                    connection.execute(step.sql).fetchall()
                assert str(caught.value).startswith(step.error), step.sql
            else:
                rows = connection.execute(step.sql).fetchall()
                if step.plan is not None:
                    assert step.plan in str(rows), step.sql
                    continue
                assert ["|".join(map(shown, row)) for row in rows] == step.rows, step.sql
    finally:
        connection.close()
