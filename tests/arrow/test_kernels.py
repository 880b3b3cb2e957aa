"""Columns of other types than the declared ones: cast where pyarrow's own functions would."""

from __future__ import annotations

import datetime
import itertools
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow

NUMBERS = [1, 2, None, 100]
DAY = datetime.date(2024, 2, 29)
_numbers = itertools.count()


def identity(type_: str) -> str:
    """Registers a function that returns what it gets; returns its name."""
    name = f"identity_{next(_numbers)}"
    function = udfvm.udf(lambda x: x, name=name, input_types=[type_], output_type=type_)
    udfvm.arrow.register(None, function)
    return name


def array(values: list[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return pa.array(values, type_.value_type).dictionary_encode()
    return pa.array(values, type_)


def dictionary(type_: pa.DataType) -> pa.DataType:
    return pa.dictionary(pa.int32(), type_)


CAST: list[tuple[str, list[Any], list[pa.DataType]]] = [
    (
        "double",
        NUMBERS,
        [
            *(pa.int8(), pa.uint16(), pa.int32(), pa.uint64(), pa.int64()),
            *(pa.float16(), pa.float32(), pa.decimal128(10, 2), pa.decimal256(60, 3)),
            *(dictionary(pa.int16()), dictionary(pa.float64())),
        ],
    ),
    ("int64", NUMBERS, [pa.int8(), pa.uint8(), pa.int32(), pa.uint64(), dictionary(pa.int64())]),
    ("float", NUMBERS, [pa.int8(), pa.float16()]),
    (
        "decimal128(20, 4)",
        [Decimal("1.25"), None],
        [pa.decimal128(5, 2), pa.decimal32(4, 3), pa.decimal64(12, 4), pa.decimal256(20, 4)],
    ),
    ("decimal128(38, 2)", [Decimal(7), None], [pa.int8(), pa.int64()]),
    (
        "string",
        ["a", None, "text"],
        [
            pa.large_string(),
            pa.string_view(),
            dictionary(pa.string()),
            dictionary(pa.large_string()),
        ],
    ),
    ("large_string", ["a", None], [pa.string(), pa.string_view(), dictionary(pa.string())]),
    ("binary", [b"a", None], [pa.large_binary(), pa.binary_view(), dictionary(pa.binary())]),
    ("timestamp[us]", [datetime.datetime(2024, 2, 29), None], [pa.timestamp("s"), pa.date32()]),
    ("timestamp[us, tz=UTC]", [None], [pa.timestamp("ms", "UTC"), pa.null()]),
    ("list<item: int64>", [None], [pa.null()]),
]


@pytest.mark.parametrize(
    ("declared", "values", "found"),
    [
        pytest.param(declared, values, type_, id=f"{type_} to {declared}")
        for declared, values, types in CAST
        for type_ in types
    ],
)
def test_columns_are_cast(declared: str, values: list[Any], found: pa.DataType) -> None:
    given = values
    if found == pa.date32():
        given = [None if each is None else each.date() for each in values]
    column = array(given, found)
    name = identity(declared)
    result = pc.call_function(name, [column])
    assert str(result.type) == declared
    assert result.to_pylist() == values
    chunked = pc.call_function(name, [pa.chunked_array([column, column.slice(1)])])
    assert chunked.to_pylist() == values + values[1:]
    assert pc.call_function(name, [column[0]]).as_py() == values[0]


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        ("double", pa.array(["1"])),
        ("double", pa.array([True])),
        ("int32", pa.array([1])),
        ("float", pa.array([1.5])),
        ("string", pa.array([b"a"])),
        ("string", pa.array([1])),
        ("string", pa.array([1]).dictionary_encode()),
        ("decimal128(10, 2)", pa.array([Decimal("1.125")])),
        ("date32[day]", pa.array([DAY]).cast(pa.timestamp("s"))),
    ],
    ids=str,
)
def test_columns_are_not_cast(declared: str, column: pa.Array) -> None:
    with pytest.raises(pa.ArrowNotImplementedError, match="no kernel matching input types"):
        pc.call_function(identity(declared), [column])


def test_values_that_do_not_fit() -> None:
    with pytest.raises(pa.ArrowInvalid, match="9007199254740993"):
        pc.call_function(identity("double"), [pa.array([2**53 + 1])])
    with pytest.raises(pa.ArrowInvalid, match="18446744073709551615"):
        pc.call_function(identity("int64"), [pa.array([2**64 - 1], pa.uint64())])


def test_each_argument_is_cast() -> None:
    name = f"repeated_{next(_numbers)}"
    function = udfvm.udf(
        lambda text, count: text * count,
        name=name,
        input_types=["string", "int64"],
        output_type="string",
    )
    udfvm.arrow.register(None, function)
    texts = pa.array(["a", "b", "a"]).dictionary_encode()
    assert pc.call_function(name, [texts, pa.array([1, 2, 3], pa.uint8())]).to_pylist() == [
        "a",
        "bb",
        "aaa",
    ]
    assert pc.call_function(name, [texts, 2]).to_pylist() == ["aa", "bb", "aa"]
    with pytest.raises(pa.ArrowInvalid, match="accepts 2 arguments but 1 passed"):
        pc.call_function(name, [texts])
