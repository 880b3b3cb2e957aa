"""Nothing of a statement is left, however it ends."""

from __future__ import annotations

import itertools

import apsw
import pytest
from host_write_functions import (
    PACKAGES,
    POOL,
    TEXT,
    Joined,
    in_rows,
    in_statements,
    nothing_is_left,
    words,
)

import udfvm
import udfvm.sqlite

BAD = "cast(x'ff' as text)"
MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
STATEMENTS = {
    "row, bad": f"SELECT in_rows(?1, {BAD})",
    "row, bad later": f"{MANY} SELECT in_rows(?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n",
    "row, too large": "SELECT in_rows(?1, CAST(zeroblob(150000000) AS TEXT))",
    "row": "SELECT in_rows(?1, 'x')",
    "statement, bad": f"SELECT in_statements(?1, {BAD})",
    "statement, bad later": (
        f"{MANY} SELECT in_statements(?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n"
    ),
    "statement, streamed": f"{MANY} SELECT in_statements(?1, i || 'x') FROM n",
    "statement, left early": f"{MANY} SELECT in_statements(?1, i || 'x') FROM n LIMIT 50",
    "vm_udf, wrong type": "SELECT vm_udf('in_statements', ?1, 7)",
    "vm_map": (
        f"SELECT * FROM vm_map('in_statements', '{MANY} SELECT i, ?1, i || ''x'' FROM n', ?1)"
    ),
    "vm_map, bad": (
        f"SELECT * FROM vm_map('in_statements', '{MANY} SELECT i, ?1,"
        f" {BAD.replace(chr(39), chr(39) * 2)} FROM n', ?1)"
    ),
    "vm_table": "SELECT * FROM vm_table('words', ?1, 'y')",
    "vm_table, bad": f"SELECT * FROM vm_table('words', ?1, {BAD})",
    "vm_agg": f"{MANY} SELECT vm_agg('joined', ?1, i || 'x') FROM n",
    "vm_agg, bad": (
        f"{MANY} SELECT vm_agg('joined', ?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n"
    ),
}


def _connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, in_rows, in_statements, words, Joined)
    return connection


@pytest.mark.parametrize("name", STATEMENTS)
def test_sql(name: str) -> None:
    connection = _connection()
    for size in (1, 40, 40_000):
        try:
            rows = connection.execute(STATEMENTS[name], (TEXT * size,)).fetchall()
            assert rows and "bad" not in name
        except apsw.SQLError as error:
            assert (
                "UTF-8" in str(error) or "does not fit" in str(error) or "takes TEXT" in str(error)
            ), error
        nothing_is_left()
    connection.close()


@pytest.mark.parametrize("name", ["row", "statement, streamed", "vm_map", "vm_table", "vm_agg"])
def test_sql_that_is_interrupted(name: str) -> None:
    """At each call of the progress handler, which raises."""
    for count in itertools.count(1):
        connection = _connection()
        calls = itertools.count(1)

        def progress() -> bool:
            return next(calls) == count  # noqa: B023 - used before the next turn

        connection.set_progress_handler(progress, 20)
        try:
            connection.execute(STATEMENTS[name], (TEXT * 40,)).fetchall()
            ended = True
        except apsw.InterruptError:
            ended = False
        connection.close()
        nothing_is_left()
        if ended or count > 60:
            break


def test_stored_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udfvm.Pool, "default", lambda: POOL)
    bases = len(POOL._list())
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        in_rows,
        policy=udfvm.sqlite.Policy(languages=["python"], packages=PACKAGES, allow_create=True),
    )
    assert len(POOL._list()) == bases  # it is loaded on the spy's micro-VM
    source = f"def kept(x): return x\nTEXT = {TEXT * 1000!r}\n"
    broken = f"TEXT = {TEXT * 1000!r}\nraise ValueError(1)\n"
    connection.execute(
        "SELECT vm_create('kept', 'python', ?, '(int) -> int')", (source,)
    ).fetchall()
    assert connection.execute("SELECT vm_udf('kept', 7)").fetchall() == [(7,)]
    with pytest.raises(apsw.SQLError):
        connection.execute(
            "SELECT vm_create('broken', 'python', ?, '(int) -> int')", (broken,)
        ).fetchall()
    connection.close()
    nothing_is_left()
