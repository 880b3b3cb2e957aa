"""Replies with lists and structs are read as they were written, or refused."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest
from hostile_mutations import chances
from hypothesis import given
from hypothesis import strategies as st
from nested_types import MAPS, TYPES, checked, values

from udfvm.codec.flatbuffers import Table
from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import Parameter, ResultType, declared


def reply_of(codec: BatchCodec, array: pa.Array) -> bytes:
    """The reply of an honest guest."""
    batch = pa.RecordBatch.from_arrays([array], schema=codec.result_schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def codec_of(type_: pa.DataType) -> BatchCodec:
    return BatchCodec(
        "f", [Parameter("x", declared("int64"), False)], ResultType(declared(type_), True)
    )


HOSTILE = pa.list_(
    pa.struct([("a", pa.list_(pa.int32())), ("b", pa.string()), ("c", pa.list_(pa.int8(), 2))])
)
ROWS = [[{"a": [1, 2], "b": "é", "c": [1, 2]}, None], None, [], [{"a": None, "b": None, "c": None}]]


@pytest.mark.parametrize("type_", [*TYPES, *MAPS[:3]], ids=str)
def test_replies_are_read_as_pyarrow_wrote_them(type_: pa.DataType) -> None:
    codec = codec_of(type_)

    @checked
    @given(st.lists(values(type_), max_size=9))
    def check(items: list[Any]) -> None:
        array = pa.array(items, type_)
        assert codec.read(reply_of(codec, array), len(array)).equals(array)

    check()


def test_replies_that_were_tampered_with() -> None:
    """Each is refused or becomes a valid array."""
    codec = codec_of(HOSTILE)
    honest = reply_of(codec, pa.array(ROWS, HOSTILE))
    start = len(codec.result_schema_message)
    for chance in chances(5000):
        reply = bytearray(honest)
        for _ in range(chance.randint(1, 4)):
            at = chance.randint(start, len(reply) - 8)
            number = chance.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 7, 16])
            width = chance.choice([1, 4, 8])
            reply[at : at + width] = (number & (1 << 8 * width) - 1).to_bytes(width, "little")
        try:
            array = codec.read(bytes(reply), len(ROWS))
        except ProtocolError:
            continue
        array.validate(full=True)
        assert len(array) == len(ROWS) and array.type == HOSTILE
        array.to_pylist()


@pytest.mark.parametrize(
    ("field", "index", "pair", "message"),
    [
        ("nodes", 0, (5, 0), "rows where the request had"),
        ("nodes", 1, (-1, 0), "fewer than no rows"),
        ("nodes", 2, (1, 0), "has not the"),
        ("nodes", 6, (1, 0), "has not the"),
        ("nodes", 3, (2**40, 0), "not valid|not a valid"),
        ("buffers", 0, (0, 2**40), "outside of the reply"),
        ("buffers", 1, (2**40, 8), "outside of the reply"),
        ("buffers", 1, (0, 4), "not a valid"),
        ("buffers", 5, (-8, 8), "outside of the reply"),
    ],
)
def test_forged_offsets(field: str, index: int, pair: tuple[int, int], message: str) -> None:
    codec = codec_of(HOSTILE)
    reply = bytearray(reply_of(codec, pa.array(ROWS, HOSTILE)))
    start = len(codec.result_schema_message) + 8
    metadata = bytes(reply[start : start + struct.unpack_from("<I", reply, start - 4)[0]])
    header = Table.root(metadata).table(2)
    place = start + header.target(1 if field == "nodes" else 2) + 4 + 16 * index
    struct.pack_into("<qq", reply, place, *pair)
    with pytest.raises(ProtocolError, match=message):
        codec.read(bytes(reply), len(ROWS))
