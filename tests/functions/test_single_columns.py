"""Table functions with one column: what they yield is its value, or a row with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw
import pytest

import udfvm


class Point(NamedTuple):
    x: float
    y: int = 7


class Alone(NamedTuple):
    x: float


class Row(NamedTuple):
    p: Any


@dataclass
class Pair:
    x: float
    y: int


POINT = "struct<x: double, y: int64>"
#: By name: the type of the column, what is yielded, and the values of the rows.
YIELDED: dict[str, tuple[Any, Callable[[], list[Any]], list[Any]]] = {
    "mappings": (
        POINT,
        lambda: [{"x": 1.0, "y": 2}, {"y": 3}, {}, None],
        [{"x": 1.0, "y": 2}, {"x": None, "y": 3}, {"x": None, "y": None}, None],
    ),
    "rows as mappings": (
        POINT,
        lambda: [{"p": {"x": 1.0}}, {"p": None}],
        [{"x": 1.0, "y": None}, None],
    ),
    "rows as tuples": (POINT, lambda: [({"x": 1.0},), [None]], [{"x": 1.0, "y": None}, None]),
    "mixed": (
        POINT,
        lambda: [{"x": 1.0}, ({"y": 2},), {"p": {"y": 3}}, Point(4.0)],
        [
            {"x": 1.0, "y": None},
            {"x": None, "y": 2},
            {"x": None, "y": 3},
            {"x": 4.0, "y": 7},
        ],
    ),
    "named tuples": (
        Point,
        lambda: [Point(1.0), Point(2.0, 3)],
        [{"x": 1.0, "y": 7}, {"x": 2.0, "y": 3}],
    ),
    "named tuples of one": (Alone, lambda: [Alone(1.0), Alone(2.0)], [{"x": 1.0}, {"x": 2.0}]),
    "rows as named tuples": (Alone, lambda: [Row(Alone(1.0)), Row(None)], [{"x": 1.0}, None]),
    "dataclasses": (Pair, lambda: [Pair(1.0, 2)], [{"x": 1.0, "y": 2}]),
    "a field of the column's name": (
        "struct<p: int64>",
        lambda: [{"p": 1}, ({"p": 2},), {}],
        [{"p": 1}, {"p": 2}, {"p": None}],
    ),
    "maps": (
        dict[str, int],
        lambda: [{"p": 1}, {"a": 2, "b": 3}, ({"c": 4},)],
        [{"p": 1}, {"a": 2, "b": 3}, {"c": 4}],
    ),
    "lists": (list[int], lambda: [([1, 2],), [[3]]], [[1, 2], [3]]),
}


@pytest.mark.parametrize("case", YIELDED)
def test_values_of_one_column(case: str) -> None:
    type_, items, wanted = YIELDED[case]

    @udfvm.table_function(columns={"p": type_})
    def rows() -> Any:
        yield from items()

    assert [value for (value,) in rows()] == wanted
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows)
    in_sql = [value for (value,) in connection.execute("SELECT p FROM rows()")]
    assert [value and json.loads(value) for value in in_sql] == wanted


def test_errors_say_what_to_yield() -> None:
    @udfvm.table_function(columns={"p": POINT, "n": int})
    def two() -> Any:
        yield {"x": 1.0}

    with pytest.raises(udfvm.UDFError, match=r"'x', which is not a column; it has 2 columns: p, n"):
        list(two())

    @udfvm.table_function(columns={"p": POINT})
    def fields() -> Any:
        yield {"x": 1.0}
        yield {"z": 1.0}

    with pytest.raises(udfvm.UDFError, match=r"row 1 that .* column 'p': unknown field 'z'"):
        list(fields())

    @udfvm.table_function(columns={"p": list[int]})
    def lists() -> Any:
        yield [1, 2]

    text = r"a row of 2 values, but has one column: p; yield \(value,\) where the value is a list"
    with pytest.raises(udfvm.UDFError, match=text):
        list(lists())
