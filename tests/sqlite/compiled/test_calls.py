"""Compiled functions in SQL: rows, batches, isolation, failures."""

from __future__ import annotations

import re
from typing import Any

import apsw
import pytest
from compiled_functions import error_of, query

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


CASES: dict[str, list[tuple[tuple[Any, ...], Any]]] = {
    "ratio": [((6, 2), 3.0), ((1.5, 0), None), ((None, 1.0), None), ((1.0, None), None)],
    "or_seven": [((None,), 7), ((2**63 - 1,), 2**63 - 1), ((-(2**63),), -(2**63))],
    "negate": [((1,), 0), ((0,), 1), ((None,), None)],
    "narrow": [((1, 2, 3.5), 2), ((-128, 2**8, 0.0), -384), ((None, 1, 1.0), None)],
    "half": [((3.0,), 1.5), ((None,), None)],
    "twice": [(("ä\0b",), "ä\0bä\0b"), (("",), ""), ((None,), None)],
    "tail": [((b"\0\1\2",), b"\1\2"), ((b"x",), b""), ((b"",), None), ((None,), None)],
    "root": [((2.25,), 1.5), ((None,), None)],
    "total": [((1, 2.5), 3.5), ((None, 1.0), None)],
    "plain": [((2.5, 4), 10.0), ((None, 1), None)],
    "w_area": [((3, 4), 12.0), ((None, 1.0), None)],
    "w_next": [((41,), 42), ((-(2**31),), 1 - 2**31), ((None,), None)],
}


@pytest.mark.parametrize("name", CASES)
def test_rows_and_batches(connection: apsw.Connection, name: str) -> None:
    count = len(CASES[name][0][0])
    marks = ", ".join("?" * count)
    for arguments, expected in CASES[name]:
        assert query(connection, f"SELECT vm_udf('{name}', {marks})", *arguments) == [(expected,)]
        source = f"SELECT 1, {marks}"
        assert query(
            connection, f"SELECT value FROM vm_map('{name}', '{source}', {marks})", *arguments
        ) == [(expected,)]
    columns = [f"x{i}" for i in range(count)]
    connection.execute(f"CREATE TEMP TABLE cases(id INTEGER PRIMARY KEY, {', '.join(columns)})")
    many = CASES[name] * 30
    connection.executemany(
        f"INSERT INTO cases({', '.join(columns)}) VALUES ({marks})",
        [arguments for arguments, _ in many],
    )
    expected = [value for _, value in many]
    source = f"SELECT id, {', '.join(columns)} FROM cases ORDER BY id"
    assert [
        value for (value,) in query(connection, f"SELECT value FROM vm_map('{name}', '{source}')")
    ] == expected
    rows = query(
        connection, f"SELECT vm_udf('{name}', {', '.join(columns)}) FROM cases ORDER BY id"
    )
    assert [value for (value,) in rows] == expected
    connection.execute("DROP TABLE cases")


def test_isolation(connection: apsw.Connection) -> None:
    for name in ("calls", "w_calls"):
        assert query(
            connection,
            ROWS.format(20) + f"SELECT max(vm_udf('{name}')), max(vm_udf('{name}_row')) FROM n",
        ) == [(20, 1)]


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        ("root", -1.0, "row 1: RuntimeError: no root of -1"),
        ("narrow", 128, r"argument 'p1' \(position 1\) is 128, out of range"),
        ("half", 1e300, r"argument '\w+' \(position 1\) is 1e\+300, out of range"),
        ("w_next", 2**31, "row 1: argument .* out of range of i32"),
        ("w_trap", 0, "row 1: Trap: wasm `unreachable`"),
        ("crash", 3, "SIGSEGV"),
        ("endless", 1, "did not end within 0.5 s"),
        ("w_spin", 1, "did not end within 0.5 s"),
        ("leaves", 3, "exit status 3"),
        ("forges", 64, "the guest's reply is not valid"),
        ("forges", 2**40, "larger than the limit"),
        ("privileged", 1, "SIGSEGV|I/O port"),
    ],
)
def test_failures_end_the_statement_and_no_more(
    connection: apsw.Connection, function: str, argument: float, expected: str
) -> None:
    others = ", 1, 1.0" if function == "narrow" else ""
    fine = 1 if function not in ("endless", "w_spin", "leaves", "forges", "privileged") else None
    connection.execute("CREATE TEMP TABLE done(x); BEGIN; INSERT INTO done VALUES ('before')")
    values = f"(SELECT ? AS x UNION ALL SELECT {argument})"
    assert re.search(
        expected,
        error_of(
            connection,
            f"INSERT INTO done SELECT vm_udf('{function}', x{others}) FROM {values}",
            fine,
        ),
    )
    source = f"SELECT 1, ?{others} UNION ALL SELECT 2, {argument}{others}"
    message = error_of(
        connection, f"INSERT INTO done SELECT value FROM vm_map('{function}', '{source}', ?)", fine
    )
    assert re.search(expected, message)
    connection.execute("COMMIT")
    assert query(connection, "SELECT * FROM done") == [("before",)]
    connection.execute("DROP TABLE done")
