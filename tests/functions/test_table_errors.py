"""Table functions yield the rows before an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import pytest

import udfvm


@udfvm.table_function(columns={"i": int, "text": str})
def until(count: int, stop: int, how: str) -> Iterator[Any]:
    for i in range(count):
        if i == stop:
            if how == "raises":
                raise ValueError(f"at {i}")
            yield {"type": (i, b"bytes"), "width": (i, "a", "b"), "value": ("x", "a"), "none": 7}[
                how
            ]
        yield i, "x" * (i % 7)


@pytest.mark.parametrize("how", ["raises", "type", "width", "value", "none"])
@pytest.mark.parametrize("stop", [0, 1, 5, 63, 64, 65, 500, 5000])
def test_rows_before_an_error_are_yielded(how: str, stop: int) -> None:
    seen = []
    with pytest.raises(udfvm.UDFError):
        for row in until(10_000, stop, how):
            seen.append(row)
    assert seen == [(i, "x" * (i % 7)) for i in range(stop)]


@pytest.mark.parametrize("how", ["raises", "type", "width"])
def test_rows_before_an_error_in_sql(how: str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, until)
    rows: list[Any] = []
    assert connection.execute("SELECT i FROM until(10, 5, ?) LIMIT 5", (how,)).fetchall() == [
        (i,) for i in range(5)
    ]
    with pytest.raises(apsw.SQLError):
        rows.extend(connection.execute("SELECT i FROM until(10, 5, ?)", (how,)))
    assert rows == [(i,) for i in range(5)]


def test_batches_before_an_error_are_yielded() -> None:
    @udfvm.table_function(columns={"i": int}, packages=["pyarrow"])
    def batches(wrong: bool) -> Iterator[Any]:
        import pyarrow as pa

        yield 1
        yield pa.table({"i": [2, 3]})
        yield 4
        if wrong:
            yield pa.table({"i": ["x"]})
        raise ValueError("end")

    for wrong in (False, True):
        seen: list[Any] = []
        with pytest.raises(udfvm.UDFError):
            for row in batches(wrong):
                seen.append(row)
        assert seen == [(1,), (2,), (3,), (4,)]


WRONG = {
    "flat": (("x", []), "TypeError: {}, column 'i': expected int, got str"),
    "list": (
        (1, [{"a": 300, "b": []}]),
        "OverflowError: {}, column 'x': item 0, field 'a': 300 is out",
    ),
    "deep": (
        (1, [None, {"a": 1, "b": ["x", 7]}]),
        "TypeError: {}, column 'x': item 1, field 'b', item 1: expected str, got int",
    ),
    "field": ((1, [{"c": 1}]), "TypeError: {}, column 'x': item 0: unknown field 'c'"),
}


@udfvm.table_function(columns={"i": int, "x": "list<struct<a: int8, b: list<string>>>"})
def places(count: int, wrong: int, kind: str) -> Iterator[Any]:
    for i in range(count):
        yield WRONG[kind][0] if i == wrong else (i, [{"a": 1, "b": ["é"]}])


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("wrong", [0, 1, 63, 64, 200, 5000])
def test_errors_say_where_the_wrong_value_is(kind: str, wrong: int) -> None:
    seen = 0
    with pytest.raises(udfvm.UDFError) as caught:
        for _ in places(10_000, wrong, kind):
            seen += 1
    expected = WRONG[kind][1].format(f"row {wrong} that the function yielded")
    assert expected in str(caught.value)
    assert seen == wrong


def test_errors_in_a_join_count_the_rows_of_their_run() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, places)
    runs = "WITH runs(w) AS (VALUES (-1), (-1), (7))"
    rows: list[Any] = []
    with pytest.raises(
        apsw.SQLError, match=r"row 7 that the function yielded, column .x.: item 1, "
    ):
        rows.extend(connection.execute(f"{runs} SELECT p.i FROM runs, places(100, w, 'deep') AS p"))
    assert rows == [(i,) for i in (*range(100), *range(100), *range(7))]


def test_errors_in_batches_name_their_column() -> None:
    @udfvm.table_function(columns={"i": int, "x": "list<int8>"}, packages=["pyarrow"])
    def batches(number: int) -> Iterator[Any]:
        import pyarrow as pa

        yield 1, [2]
        yield pa.table({"i": [3, 4], "x": [[5], None]})
        yield pa.table({"i": [6], "x": [[number]]}) if number else (7, ["x"])

    assert list(batches(5))[3] == (6, [5])
    with pytest.raises(
        udfvm.UDFError, match=r"column .x. of a batch.*row 0 is \[300\], which cannot"
    ):
        list(batches(300))
    with pytest.raises(
        udfvm.UDFError, match=r"row 3 that the function yielded, column .x.: item 0"
    ):
        list(batches(0))


def test_the_cause_of_a_users_error_is_kept() -> None:
    class Odd:
        def __index__(self) -> int:
            try:
                values: dict[str, int] = {}
                return values["inner"]
            except KeyError as error:
                raise ValueError("odd") from error

    @udfvm.table_function(columns={"i": int})
    def rows() -> Iterator[Any]:
        yield Odd()

    with pytest.raises(udfvm.UDFError) as caught:
        list(rows())
    assert "row 0 that the function yielded, column 'i': odd" in str(caught.value)
    assert "KeyError: 'inner'" in str(caught.value)
    assert "in __index__" in str(caught.value)
