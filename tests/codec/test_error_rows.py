"""Rows in errors: of all that the caller passed, wherever that is known, else the text says that it
is a row of a batch.
"""

from __future__ import annotations

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

import udfvm
from udfvm.functions.scalar import ScalarFunction


@pytest.fixture(scope="module")
def odd() -> ScalarFunction:
    @udfvm.udf(name="odd_row")
    def function(x: int, text: str = "") -> int:
        if x < 0:
            raise ValueError("negative")
        return x

    return function


@pytest.fixture(scope="module")
def total() -> ScalarFunction:
    @udfvm.aggregate(name="total_rows")
    class Total:
        def __init__(self) -> None:
            self.sum = 0

        def step(self, x: int) -> None:
            if x < 0:
                raise ValueError("negative")
            self.sum += x

        def inverse(self, x: int) -> None:
            if x == 13:
                raise ValueError("it stays")
            self.sum -= x

        def merge(self, other: Total) -> None:
            self.sum += other.sum

        def finish(self) -> int:
            return self.sum

    return Total


@pytest.fixture(scope="module")
def ranges() -> ScalarFunction:
    @udfvm.table_function(columns={"i": int}, name="rows_up_to")
    def function(n: int):  # type: ignore[no-untyped-def]
        yield from range(abs(n))
        if n < 0:
            raise ValueError("negative")

    return function


ROWS = [1, None, 2, None, 3, -4]


@pytest.fixture
def connection(
    odd: ScalarFunction, total: ScalarFunction, ranges: ScalarFunction
) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, odd, total, ranges)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    connection.executemany("INSERT INTO t(x) VALUES(?)", [(x,) for x in ROWS])
    return connection


@pytest.mark.parametrize(
    "argument",
    [
        pa.array(ROWS, pa.int64()),
        pa.chunked_array([ROWS[:2], ROWS[2:]], pa.int64()),
        pa.chunked_array([[], *([x] for x in ROWS)], pa.int64()),
        pa.array([0, *ROWS], pa.int64())[1:],
        np.array([1, 0, 2, 0, 3, -4]),
    ],
    ids=["array", "chunks", "chunks of one", "slice", "numpy"],
)
def test_rows_of_arrays_are_those_of_the_whole(odd: ScalarFunction, argument: object) -> None:
    for arguments in ((argument,), (argument, "and a text")):
        with pytest.raises(udfvm.UDFError, match=r"odd_row', row 5: ValueError") as raised:
            odd(*arguments)
        assert raised.value.row == 5


def test_rows_of_chunks_are_those_of_the_whole(odd: ScalarFunction) -> None:
    text = "x" * (1 << 20)
    values = pa.array([*range(150), -1], pa.int64())  # more than fits in a window
    with pytest.raises(udfvm.UDFError) as raised:
        odd(values, pa.array([text] * 151))
    assert raised.value.row == 150


def test_rows_of_aggregates_count_those_that_null_leaves_out(total: ScalarFunction) -> None:
    for argument in (
        pa.array(ROWS, pa.int64()),
        pa.chunked_array([ROWS[:3], ROWS[3:]], pa.int64()),
    ):
        with pytest.raises(udfvm.UDFError, match=r"row 5: ValueError") as raised:
            total(argument)
        assert raised.value.row == 5


@pytest.mark.parametrize("place", [100, 199_999, 200_001, 399_998])
def test_rows_of_aggregates_in_two_machines_are_those_of_the_whole(
    total: ScalarFunction, place: int
) -> None:
    values: list[int | None] = [1] * 400_000
    values[0], values[place] = None, -1
    with pytest.raises(udfvm.UDFError) as raised:
        total(pa.array(values, pa.int64()))
    assert raised.value.row == place


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("SELECT odd_row(x) FROM t", 5),
        ("SELECT vm_udf('odd_row', x) FROM t WHERE id > 2", 3),
        ("SELECT * FROM vm_map('odd_row', 'SELECT id, x FROM t')", 5),
        (
            (
                "SELECT max(value) FROM vm_map('odd_row', 'WITH n(i) AS (SELECT 0 UNION ALL SELECT"
                " i + 1 FROM n LIMIT 70000) SELECT i, iif(i = 69000, -1, i) FROM n')"
            ),
            69_000,
        ),
        ("SELECT total_rows(x) FROM t", 5),
        ("SELECT id % 2, total_rows(x) FROM t GROUP BY id % 2", 2),  # in the order of the groups
        ("SELECT total_rows(x) OVER (ORDER BY id) FROM t", 5),
        ("SELECT total_rows(x) OVER (ORDER BY id ROWS 1 PRECEDING) FROM t", 5),
        (
            (
                "SELECT total_rows(y) OVER (ORDER BY id ROWS 1 PRECEDING) FROM (SELECT id, iif(id ="
                " 2, 13, 1) y FROM t)"
            ),
            None,
        ),
        (
            (
                "WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 70000) SELECT"
                " total_rows(CASE i WHEN 3 THEN NULL WHEN 69000 THEN -1 ELSE i END) FROM n"
            ),
            69_000,
        ),
        ("SELECT i FROM vm_map('rows_up_to', 'SELECT id, x FROM t'), (SELECT 1 i)", 5),
        ("SELECT rows_up_to.i FROM t CROSS JOIN rows_up_to(coalesce(x, 100)) LIMIT -1", 5),
    ],
)
def test_rows_in_sql_are_those_of_the_statement(
    connection: apsw.Connection, query: str, row: int | None
) -> None:
    with pytest.raises(apsw.SQLError) as raised:
        connection.execute(query).fetchall()
    cause = raised.value.__cause__
    assert isinstance(cause, udfvm.UDFError)
    assert cause.row == row
    assert (f", row {row}: ValueError" in str(raised.value)) == (row is not None)
    assert str(cause) == str(raised.value).rstrip()


def test_a_table_function_fails_behind_many_rows_with_the_row_of_its_arguments(
    connection: apsw.Connection,
) -> None:
    for query in (
        "SELECT i FROM rows_up_to(-500)",
        "SELECT value FROM vm_map('rows_up_to', 'SELECT 0, 1 UNION ALL SELECT 1, -500')",
    ):
        with pytest.raises(apsw.SQLError) as raised:
            connection.execute(query).fetchall()
        assert isinstance(raised.value.__cause__, udfvm.UDFError)
        assert raised.value.__cause__.row == ("vm_map" in query)


def test_the_error_names_a_row_of_pyarrows_batch(odd: ScalarFunction) -> None:
    @udfvm.udf(name="odd_row_of_batch")
    def function(x: int) -> int:
        if x < 0:
            raise ValueError("negative")
        return x

    udfvm.arrow.register(None, function)
    chunks = pa.chunked_array([[1, 2], [3, -4]])
    with pytest.raises(
        udfvm.UDFError, match=r"'odd_row_of_batch', row 1 of its batch: ValueError"
    ) as raised:
        pc.call_function("odd_row_of_batch", [chunks])
    assert raised.value.row == 1
    table = ds.dataset(pa.table({"x": chunks}))
    with pytest.raises(udfvm.UDFError, match="row 1 of its batch"):
        table.to_table(columns={"y": function.expr(ds.field("x"))})
