"""Mutations of replies that an honest guest would write, counted so that each can be repeated."""

from __future__ import annotations

import datetime
import random
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from udfvm.codec.flatbuffers import Table, unsigned_at
from udfvm.codec.record_batches import BatchCodec
from udfvm.types.arrow_types import Parameter, ResultType, declared
from udfvm.types.unions import Chosen, array_of

TYPES = [
    pa.list_(pa.list_(pa.int64())),
    pa.string(),
    pa.large_binary(),
    pa.bool_(),
    pa.float32(),
    pa.uint8(),
    pa.date32(),
    pa.date64(),
    pa.timestamp("ns", tz="Europe/Berlin"),
    pa.list_(pa.string()),
    pa.large_list(pa.large_string()),
    pa.list_(pa.int32(), 3),
    pa.list_(pa.list_(pa.int8()), 2),
    pa.struct([("a", pa.int64()), ("b", pa.string())]),
    pa.list_(pa.struct([("a", pa.float64()), ("b", pa.list_(pa.bool_()))])),
    pa.struct([("d", pa.date64()), ("l", pa.large_list(pa.timestamp("s", tz="UTC")))]),
    pa.list_(pa.list_(pa.list_(pa.binary()))),
    pa.float16(),
    pa.time32("ms"),
    pa.time64("ns"),
    pa.duration("s"),
    pa.month_day_nano_interval(),
    pa.decimal32(5, 2),
    pa.decimal128(38, 10),
    pa.decimal256(40, 3),
    pa.binary(3),
    pa.list_(pa.struct([("p", pa.decimal128(18, 2)), ("k", pa.list_(pa.time32("s"), 2))])),
    pa.map_(pa.string(), pa.int16()),
    pa.list_(pa.map_(pa.int8(), pa.map_(pa.string(), pa.struct([("n", pa.int8())])))),
    pa.sparse_union([pa.field("a", pa.int8()), pa.field("b", pa.string())], [5, 7]),
    pa.dense_union([pa.field("a", pa.int64()), pa.field("b", pa.string())], [1, 0]),
    pa.list_(
        pa.dense_union(
            [
                pa.field("n", pa.null()),
                pa.field("s", pa.struct([("u", pa.sparse_union([pa.field("x", pa.int32())]))])),
                pa.field("l", pa.list_(pa.string())),
            ]
        )
    ),
]
NUMBERS = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    63,
    64,
    255,
    0x7FFF,
    2**29,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**61,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 8,
]


def value(type_: pa.DataType, chance: random.Random) -> Any:
    """A value of a type, None now and then."""
    if chance.random() < 0.2:
        return None
    if pa.types.is_union(type_):
        index = chance.randrange(type_.num_fields)
        return Chosen(index, value(type_.field(index).type, chance))
    if pa.types.is_struct(type_):
        return {
            field.name: value(field.type, chance)
            for field in (type_.field(index) for index in range(type_.num_fields))
        }
    if pa.types.is_map(type_):
        keys = [value(type_.key_type, chance) for _ in range(chance.randrange(4))]
        pairs = {key: value(type_.item_type, chance) for key in keys if key is not None}
        return list(pairs.items())
    if type_.num_fields:
        count = type_.list_size if pa.types.is_fixed_size_list(type_) else chance.randrange(4)
        return [value(type_.value_type, chance) for _ in range(count)]
    return _single(type_, chance)


def _single(type_: pa.DataType, chance: random.Random) -> Any:
    if pa.types.is_null(type_):
        return None
    if pa.types.is_timestamp(type_):
        return datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    if pa.types.is_decimal(type_):
        return Decimal(chance.randrange(100)).scaleb(-type_.scale)
    if pa.types.is_interval(type_):
        return pa.MonthDayNano([chance.randrange(9), -1, chance.randrange(-9, 9)])
    if pa.types.is_time(type_):  # in microseconds, which other libraries have
        return datetime.time(1, 2, chance.randrange(60))
    samples: dict[str, Any] = {
        "fixed_size_binary": chance.randbytes(type_.byte_width)
        if pa.types.is_fixed_size_binary(type_)
        else b"",
        "string": "é" * chance.randrange(3) + "x" * chance.randrange(5),
        "binary": chance.randbytes(chance.randrange(6)),
        "date": datetime.date(2020, 1, 1),
        "bool": chance.random() < 0.5,
        "float": 0.5,
        "double": chance.random(),
    }
    return next(
        (sample for name, sample in samples.items() if name in str(type_)), chance.randrange(100)
    )


class Mutations:
    """The mutations of replies of a type, by number.

    First come those of lengths and offsets of nodes and buffers, and of what buffers hold, then
    random ones.
    """

    def __init__(self, type_: pa.DataType) -> None:
        self.codec = BatchCodec(
            "f", [Parameter("x", declared("int64"), False)], ResultType(declared(type_), True)
        )
        self.arrays = {
            rows: array_of([value(type_, random.Random(rows * 7 + i)) for i in range(rows)], type_)
            for rows in (1, 9)
        }
        self.arrays[2] = array_of(
            [[] if str(type_).startswith(("list", "large_list")) else None] * 2, type_
        )
        self._replies = {rows: self._stream(array) for rows, array in self.arrays.items()}
        self._systematic = [
            (rows, offset, number)
            for rows in (2, 9)
            for offset in self._offsets(rows)
            for number in NUMBERS
        ]

    def _stream(self, array: pa.Array) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.codec.result_schema) as writer:
            writer.write_batch(pa.record_batch([array], schema=self.codec.result_schema))
        return bytes(sink.getvalue().to_pybytes())

    def _offsets(self, rows: int) -> list[int]:
        """Offsets of the numbers of nodes and buffers, and of the first words of each buffer."""
        reply = self._replies[rows]
        start = len(self.codec.result_schema_message) + 8
        length = struct.unpack_from("<I", reply, start - 4)[0]
        metadata = reply[start : start + length]
        header = Table.root(metadata).table(2)
        offsets = [start + header.offset_of(0)]
        for field in (1, 2):
            vector = header.target(field)
            offsets += range(
                start + vector + 4, start + vector + 4 + 16 * unsigned_at(metadata, vector), 8
            )
        for begin, used in header.pairs(2):
            offsets += range(start + length + begin, start + length + begin + min(used, 48), 4)
        return offsets

    @property
    def count(self) -> int:
        """How many are not random."""
        return len(self._systematic)

    def honest(self, rows: int) -> bytes:
        """The reply of 1, 2 or 9 rows that is mutated."""
        return self._replies[rows]

    def make(self, number: int) -> tuple[int, bytes]:
        """Rows and reply."""
        if number < len(self._systematic):
            rows, offset, word = self._systematic[number]
            reply = bytearray(self._replies[rows])
            width = 8 if offset % 8 == 0 and number % 2 else 4
            reply[offset : offset + width] = struct.pack("<Q", word)[:width]
            return rows, bytes(reply)
        chance = random.Random(number)
        rows = chance.choice([1, 2, 9])
        return rows, tampered(self._replies[rows], chance, len(self.codec.result_schema_message))


def chances(count: int) -> Iterator[random.Random]:
    """Generators of other numbers in each run. A test that fails shows how the last one is made."""
    first = random.SystemRandom().randrange(2**32)
    for seed in range(first, first + count):
        print(f"random.Random({seed})")
        yield random.Random(seed)


def tampered(data: bytes, chance: random.Random, start: int = 0) -> bytes:
    """Bytes with a few things changed from ``start`` on."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        if len(changed) < start + 8:
            changed += bytes(start + 8 - len(changed))
        offset = chance.randrange(start, len(changed))
        match chance.randrange(8):
            case 0:
                changed[offset] ^= 1 << chance.randrange(8)
            case 1:
                changed[offset] = chance.randrange(256)
            case 2 | 3:
                offset &= ~7
                changed[offset : offset + 8] = struct.pack(
                    "<Q", chance.choice([*NUMBERS, len(data), len(data) - 1])
                )
            case 4:
                offset &= ~3
                changed[offset : offset + 4] = struct.pack(
                    "<I", chance.choice(NUMBERS) & 0xFFFFFFFF
                )
            case 5:
                del changed[offset:]
            case 6:
                changed += chance.randbytes(chance.randrange(64))
            case _:
                other, length = chance.randrange(start, len(changed)), chance.randrange(32)
                changed[offset : offset + length] = changed[other : other + length]
    return bytes(changed)
