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
