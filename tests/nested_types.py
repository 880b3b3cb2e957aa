"""Nested types, values of them and functions that take them: for tests of lists and structs."""

from __future__ import annotations

import datetime
import functools
from typing import Any, NotRequired, TypedDict

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import udfvm
import udfvm.sqlite

POINT = pa.struct([("x", pa.float64()), ("name", pa.string())])
ODD_NAMES = [
    "",
    " ",
    "a name",
    " outer ",
    "it's, or is it",
    'a "quote"',
    '"',
    "a: int8, b",
    "<>[]",
    "struct<x: int8>",
    "a.b",
    "x\ny\0z",
    "\u00e9\u4e16\U0001f600",
    "\u00a0",
    "x not null",
]
TYPES = [
    pa.list_(pa.int16()),
    pa.large_list(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.list_(pa.bool_())),
    pa.list_(pa.binary()),
    POINT,
    pa.struct(
        [("the é", pa.date32()), ("at", pa.list_(pa.timestamp("us", tz="UTC"))), ("p", POINT)]
    ),
    pa.list_(pa.struct([("pairs", pa.list_(pa.int8(), 2)), ("n", pa.uint64())])),
    pa.struct([]),
    pa.list_(pa.null()),
    pa.list_(pa.int8(), 0),
    pa.list_(pa.list_(pa.struct([("t", pa.string())]), 0)),
    pa.struct([("n", pa.null()), ("es", pa.list_(pa.struct([]))), ("f", pa.list_(pa.null(), 2))]),
    pa.struct([(name, pa.int8()) for name in ODD_NAMES]),
    pa.list_(pa.struct([('"quoted"', pa.struct([("", pa.list_(pa.struct([("a.b", POINT)])))]))])),
]
MAPS = [
    pa.map_(pa.string(), pa.int64()),
    pa.list_(pa.map_(pa.int16(), pa.map_(pa.string(), pa.list_(pa.null())))),
    pa.map_(pa.struct([("a b", pa.int8())]), pa.list_(pa.date32())),
    pa.map_(
        pa.field("k", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("v", pa.struct([("m", pa.map_(pa.bool_(), pa.float32()))]), metadata={"m": "n"}),
        keys_sorted=True,
    ),
]
# pyarrow itself has no values of it in Python.
EQUAL_NAMES = pa.list_(
    pa.struct([("same", pa.int8()), ("same", pa.list_(pa.string())), ("c", POINT)])
)


def values(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Python values of a type, with None at every level."""
    return st.none() | _present(type_)


def _present(type_: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(type_):
        return _structs(type_)
    if pa.types.is_fixed_size_list(type_):
        return st.lists(
            values(type_.value_type), min_size=type_.list_size, max_size=type_.list_size
        )
    if pa.types.is_map(type_):
        return _maps(type_)
    if type_.num_fields:
        return st.lists(values(type_.value_type), max_size=4)
    if pa.types.is_integer(type_):
        bits = type_.bit_width
        unsigned = pa.types.is_unsigned_integer(type_)
        return (
            st.integers(0, 2**bits - 1)
            if unsigned
            else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
    leaves: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.null(): st.none(),
        pa.bool_(): st.booleans(),
        pa.float32(): st.floats(width=32, allow_nan=False),
        pa.float64(): st.floats(allow_nan=False),
        pa.string(): st.text(max_size=8),
        pa.binary(): st.binary(max_size=8),
        pa.date32(): st.dates(),
        pa.timestamp("us", tz="UTC"): st.datetimes(
            datetime.datetime(1700, 1, 1), timezones=st.just(datetime.UTC)
        ),
    }
    return leaves[type_]


def _maps(type_: pa.MapType) -> st.SearchStrategy[Any]:
    if type_.key_type.num_fields:
        pairs = st.tuples(_present(type_.key_type), values(type_.item_type))
        return st.lists(pairs, max_size=4)
    return st.dictionaries(_present(type_.key_type), values(type_.item_type), max_size=4)


def _structs(type_: pa.StructType) -> st.SearchStrategy[Any]:
    pairs = [(field.name, values(field.type)) for field in type_]
    if len({name for name, _ in pairs}) == len(pairs):
        return st.fixed_dictionaries(dict(pairs))
    return st.tuples(*(st.tuples(st.just(name), each) for name, each in pairs)).map(list)


@functools.cache
def identity(type_: pa.DataType, vectorized: bool) -> udfvm.ScalarFunction:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    return udfvm.udf(
        same, name="same", vectorized=vectorized, input_types=[type_], output_type=type_
    )


checked = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Place(TypedDict):
    name: str
    where: list[float]
    since: NotRequired[datetime.date]


@udfvm.udf
def length(xs: list[float]) -> float:
    return sum(x * x for x in xs) ** 0.5


@udfvm.udf
def moved(place: Place, by: float) -> Place | None:
    return {**place, "where": [x + by for x in place["where"]]} if place["where"] else None
