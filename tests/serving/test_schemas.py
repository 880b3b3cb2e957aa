"""Schemas of clients are read as pyarrow reads them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pyarrow as pa
import pytest
from flight_clients import parts_of
from hypothesis import given, settings
from hypothesis import strategies as st

from udfvm.serving.client_batches import NOT_VALID
from udfvm.serving.schemas import schema_types

TYPES = [
    pa.null(),
    pa.bool_(),
    *(pa.type_for_alias(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal32(9, 2),
    pa.decimal64(18, -3),
    pa.decimal128(38, 10),
    pa.decimal256(76, 0),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    pa.timestamp("us", "Europe/Berlin"),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    pa.month_day_nano_interval(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.string_view(),
    pa.binary_view(),
    pa.binary(16),
    pa.binary(0),
    pa.list_(pa.field("element", pa.int8(), nullable=False)),
    pa.large_list(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.map_(pa.string(), pa.int64()),
    pa.map_(pa.string(), pa.int64(), keys_sorted=True),
    pa.struct([]),
    pa.struct([("a", pa.int64()), ("\u00e9", pa.list_(pa.struct([("b", pa.date32())])))]),
    pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())]),
    pa.sparse_union([pa.field("a", pa.int8()), pa.field("b", pa.string())], [3, 5]),
]


def header_of(schema: pa.Schema) -> bytes:
    return parts_of(schema.serialize())[0]


def test_every_type() -> None:
    schema = pa.schema([pa.field(f"c{number}", type_) for number, type_ in enumerate(TYPES)])
    assert schema_types(header_of(schema)) == TYPES
    assert schema_types(header_of(pa.schema([]))) == []


def test_extension_types_are_what_they_are_stored_as() -> None:
    schema = pa.schema([("id", pa.uuid()), ("text", pa.json_())])
    assert schema_types(header_of(schema)) == [pa.binary(16), pa.string()]


@pytest.mark.parametrize("mode", ["sparse", "dense"])
@pytest.mark.parametrize(
    "within", [lambda each: each, pa.list_, lambda each: pa.struct({"x": each})]
)
def test_unions_without_fields(mode: str, within: Callable[[pa.DataType], pa.DataType]) -> None:
    """A column of such a type ends the process."""
    schema = pa.schema([("x", within(pa.union([], mode)))])
    with pytest.raises(ValueError, match="no fields"):
        schema_types(header_of(schema))


def test_unions_whose_fields_have_one_code() -> None:
    fields = [pa.field("a", pa.int8()), pa.field("b", pa.int16())]
    header = header_of(pa.schema([("x", pa.union(fields, "dense", [3, 5]))]))
    codes = struct.pack("<ii", 3, 5)
    assert header.count(codes) == 1
    with pytest.raises(ValueError, match="other codes"):
        schema_types(header.replace(codes, struct.pack("<ii", 3, 3)))


@pytest.mark.parametrize("number", range(len(TYPES)))
def test_every_cut(number: int) -> None:
    header = header_of(pa.schema([("column", TYPES[number])]))
    for length in range(len(header) // 2):
        with pytest.raises(NOT_VALID):
            schema_types(header[:length])


@settings(max_examples=300)
@given(st.data())
def test_changed_bytes(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(TYPES))
    header = bytearray(header_of(pa.schema([("column", type_), ("other", pa.int8())])))
    for _ in range(data.draw(st.integers(1, 8))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    try:
        types = schema_types(bytes(header))
    except NOT_VALID:
        return
    assert all(isinstance(each, pa.DataType) for each in types)
