"""Table functions and aggregates take and give every type that scalar functions do."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nested_rows import last, last_of_columns, twice
from nested_types import MAPS, TYPES, checked, values

import udfvm
from udfvm.types.array_values import to_values

DECADES = datetime.timedelta(days=90_000)
# Flat types that rows have not, or not as they are.
FLAT: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.null(), st.none()),
    (pa.uint64(), st.none() | st.integers(0, 2**64 - 1)),
    (pa.float16(), st.none() | st.floats(width=16, allow_nan=False)),
    (pa.time64("us"), st.none() | st.times()),
    (pa.duration("us"), st.none() | st.timedeltas(-DECADES, DECADES)),
    (pa.decimal128(20, 3), st.none() | st.decimals(-(10**16), 10**16, places=3)),
    (
        pa.month_day_nano_interval(),
        st.none()
        | st.tuples(
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**63), 2**63 - 1),
        ).map(pa.MonthDayNano),
    ),
    (pa.binary(3), st.none() | st.binary(min_size=3, max_size=3)),
]
ALL = [*((each, values(each)) for each in [*TYPES, *MAPS]), *FLAT]
# An example takes several calls; test_nested.py has more of them.
few = settings(checked, max_examples=10)
every_type = pytest.mark.parametrize(("type_", "found"), ALL, ids=[str(each) for each, _ in ALL])


@every_type
def test_rows_of_table_functions(type_: pa.DataType, found: st.SearchStrategy[Any]) -> None:
    function = twice(type_)

    @few
    @given(found)
    def check(value: Any) -> None:
        (expected,) = to_values(pa.array([value], type_))
        wanted = [] if value is None else [(expected, 0), (expected, 1)]
        assert list(function(value)) == wanted
        assert all(batch.schema.field("x").type == type_ for batch in function.batches(value))

    check()


@every_type
def test_columns_of_table_functions(type_: pa.DataType, found: st.SearchStrategy[Any]) -> None:
    function = twice(type_)

    @few
    @given(st.lists(found, max_size=5))
    def check(items: list[Any]) -> None:
        column = pa.array(items, type_)
        made = function.map(pa.table({"x": column}), keep=[])
        assert made.column("x").type == type_
        assert [each for chunk in made.column("x").chunks for each in to_values(chunk)] == [
            value for value in to_values(column) if value is not None for _ in range(2)
        ]

    check()


@every_type
def test_aggregates(type_: pa.DataType, found: st.SearchStrategy[Any]) -> None:
    functions = [last(type_), last_of_columns(type_)]

    @few
    @given(st.lists(found, max_size=5))
    def check(items: list[Any]) -> None:
        column = pa.array([None, *items], type_)
        counted = [value for value in to_values(column) if value is not None]
        wanted = counted[-1] if counted else None
        for function in functions:
            assert function(column) == wanted
            assert function(column[1:]) == wanted  # a slice
            assert function.map(pa.table({"x": column})) == wanted

    check()


def test_numbers_that_json_lacks() -> None:
    type_ = pa.list_(pa.float64())
    for found, _ in twice(type_)([math.inf, math.nan]):
        assert found[0] == math.inf and math.isnan(found[1])
    assert math.isnan(last(type_)(pa.array([[math.nan]], type_))[0])


@udfvm.aggregate
class joined:
    """Collects lists, in the order of the rows."""

    def __init__(self) -> None:
        self.lists: list[Any] = []

    def step(self, x: list[int] | None) -> None:
        self.lists.append(x)

    def merge(self, other: joined) -> None:
        self.lists += other.lists

    def finish(self) -> list[list[int]]:
        return self.lists


def test_states_of_lists_are_merged() -> None:
    rows = [[i] * (i % 3) if i % 5 else None for i in range(300_000)]
    column = pa.array(rows, pa.list_(pa.int64()))
    assert joined(column) == rows
    assert joined.map(pa.table({"x": pa.chunked_array([column[:9], column[9:]])})) == rows


@dataclass
class Place:
    name: str
    where: list[float]
    since: int = 7


class Step(NamedTuple):
    place: Place
    by: float


@udfvm.table_function(columns={"place": "struct<name: string, n: int64>"})
def near(place: Place, steps: list[Step]) -> Iterator[Any]:
    for step in steps:
        yield ({"name": step.place.name, "n": place.since + len(step.place.where)},)


@udfvm.aggregate
class furthest:
    def __init__(self) -> None:
        self.found = Place("", [0.0])

    def step(self, place: Place) -> None:
        if sum(place.where) > sum(self.found.where):
            self.found = place

    def inverse(self, place: Place) -> None:
        if place == self.found:
            self.found = Place("", [0.0])

    def finish(self) -> Place:
        return self.found


def test_classes_stand_for_structs() -> None:
    place, other = Place("a", [1.0]), {"name": "b", "where": [2.0, 3.0]}
    assert list(near(place, [Step(place, 1.0), {"place": other, "by": 2.0}])) == [
        ({"name": "a", "n": 8},),
        ({"name": "b", "n": 9},),
    ]
    column = pa.array([other, {"name": "c", "where": [1.0], "since": 3}, None])
    assert furthest(column) == {"name": "b", "where": [2.0, 3.0], "since": 7}


def test_what_columns_say_of_their_fields_is_kept() -> None:
    exact = pa.list_(pa.field("element", pa.float64(), nullable=False))

    @udfvm.table_function(columns=pa.schema([("x", exact), ("t", pa.string_view())]))
    def rows(hole: bool) -> Iterator[Any]:
        yield [1.0], "a"
        yield [None if hole else 2.0], None

    (batch,) = rows.batches(False)
    assert batch.schema.types == [exact, pa.string_view()]
    assert rows.map(pa.table({"hole": [False]}), keep=[]).schema.types == [
        exact,
        pa.string_view(),
    ]
    with pytest.raises(
        udfvm.TypeMappingError, match=r"UDF 'rows', row 1: column 'x' is .*, which holds a null"
    ):
        list(rows(True))


def test_many_rows_of_lists() -> None:
    @udfvm.table_function(columns={"x": "list<int64>", "s": "struct<i: int64, t: string>"})
    def many(count: int) -> Iterator[Any]:
        for i in range(count):
            yield [i] * (i % 50), {"i": i, "t": "x" * (i % 9)}

    rows = list(many(50_000))
    assert rows == [([i] * (i % 50), {"i": i, "t": "x" * (i % 9)}) for i in range(50_000)]
