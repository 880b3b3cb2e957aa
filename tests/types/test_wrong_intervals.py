"""Intervals where another type is declared, and the other way round: in results of every form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import pyarrow as pa
import pytest

import udfvm

INTERVAL = "month_day_nano_interval"
#: What is returned, and the type that is declared.
WRONG: dict[str, tuple[Any, str]] = {
    "interval for int": (pa.MonthDayNano([1, 2, 3]), "int64"),
    "interval for text": (pa.MonthDayNano([1, 2, 3]), "string"),
    "interval for duration": (pa.MonthDayNano([0, 1, 0]), "duration[us]"),
    "interval for list": (pa.MonthDayNano([1, 2, 3]), "list<int64>"),
    "interval for struct": (pa.MonthDayNano([1, 2, 3]), "struct<months: int64>"),
    "tuple for interval": ((1, 2, 3), INTERVAL),
    "int for interval": (7, INTERVAL),
    "text for interval": ("P1M", INTERVAL),
    "list for interval": ([1, 2, 3], INTERVAL),
}


def _tables(value: Any, type_: str) -> Callable[[], Any]:
    @udfvm.table_function(columns={"i": int, "x": type_}, packages=["pyarrow"])
    def rows(count: int = 1) -> Any:
        yield 0, None
        yield 1, value

    return lambda: list(rows())


def _tables_in_batches(value: Any, type_: str) -> Callable[[], Any]:
    @udfvm.table_function(columns={"i": int, "x": type_}, packages=["pyarrow"])
    def batches(count: int = 1) -> Any:
        yield 0, None
        yield pa.table({"i": [1], "x": pa.array([value])})

    return lambda: list(batches())


def _aggregates(value: Any, type_: str) -> Callable[[], Any]:
    class Last:
        def step(self, x: int) -> None: ...

        def finish(self) -> Any:
            return value

    last = udfvm.aggregate(Last, output_type=type_, packages=["pyarrow"])
    return lambda: last(pa.array([1]))


def _scalars(value: Any, type_: str) -> Callable[[], Any]:
    def made(x: int) -> Any:
        return value

    made.__annotations__.pop("return")
    function = udfvm.udf(made, output_type=type_, packages=["pyarrow"])
    return lambda: function(pa.array([1]))


FORMS = [_tables, _tables_in_batches, _aggregates, _scalars]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("wrong", WRONG)
def test_an_interval_is_no_other_type(form: Callable[..., Any], wrong: str) -> None:
    value, type_ = WRONG[wrong]
    call = form(value, type_)
    with pytest.raises(udfvm.UDFError) as caught:
        call()
    text = str(caught.value)
    assert caught.value.guest_type == "TypeError", text
    assert "MonthDayNano" in text or "interval" in text
    if form in (_tables, _tables_in_batches):
        assert "column 'x'" in text


def test_in_sql() -> None:
    connection = apsw.Connection(":memory:")

    @udfvm.table_function(columns={"x": INTERVAL}, packages=["pyarrow"])
    def rows(kind: str) -> Any:
        yield pa.MonthDayNano([1, 2, 3_000])
        yield {
            "int": 7,
            "tuple": ((1, 2, 3),),
            "row": (1, 2, 3),
            "right": pa.MonthDayNano([0, 0, 0]),
        }[kind]

    udfvm.sqlite.register(connection, rows)
    assert connection.execute("SELECT x FROM rows('right')").fetchall() == [
        ("P1M2DT0.000003S",),
        ("PT0S",),
    ]
    for kind, where in (("int", ", column 'x'"), ("tuple", ", column 'x'"), ("row", ": .* 3 val")):
        with pytest.raises(apsw.SQLError, match=f"row 1( that the function yielded)?{where}"):
            connection.execute(f"SELECT x FROM rows('{kind}')").fetchall()
