"""Record batches are written as streams, and every reply is read as a valid array or refused."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import Parameter, ResultType, declared


def _stream(array: pa.Array, name: str = "result", **options: Any) -> bytes:
    batch = pa.RecordBatch.from_arrays([array], names=[name])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _batch_codec(result: pa.DataType) -> BatchCodec:
    return BatchCodec(
        "f", [Parameter("x", declared(result), False)], ResultType(declared(result), True)
    )


SAMPLES = [
    pa.array([1, None, 3], pa.int64()),
    pa.array([1.5, 2.5]),
    pa.array(["a", None, "ccc"]),
    pa.array([b"", b"xy"], pa.large_binary()),
    pa.array([True, None, False]),
    pa.nulls(3),
    pa.array([0, None], pa.timestamp("ns", tz="UTC")),
    pa.array(["x"] * 9, pa.large_string()),
]


@pytest.mark.parametrize("array", SAMPLES, ids=lambda array: str(array.type))
def test_streams_are_written_and_read(array: pa.Array) -> None:
    codec = _batch_codec(array.type)
    batch = codec.batch([array])
    window = bytearray(1 << 16)
    length = codec.write(memoryview(window), batch)
    assert length == codec.size(batch)
    assert pa.ipc.open_stream(bytes(window[:length])).read_all().to_batches()[0].equals(batch)
    assert codec.read(_stream(array), len(array)).equals(array)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "schema"),
        (_stream(pa.array([1, 2], pa.int32())), "schema"),
        (_stream(pa.array([1, 2]), name="other"), "schema"),
        (_stream(pa.array([1, 2, 3])), "3 rows where the request had 2"),
        (_stream(pa.array([1, 2]))[:-200], "not a valid stream"),
        (_stream(pa.array([1, 2]), compression="zstd"), "compressed"),
    ],
)
def test_other_streams_are_refused(reply: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        _batch_codec(pa.int64()).read(reply, 2)


def test_invalid_utf8_is_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xff")]
    )
    with pytest.raises(ProtocolError, match="UTF8"):
        _batch_codec(pa.string()).read(_stream(bad), 1)


def test_offsets_outside_of_the_data_are_refused() -> None:
    good = _stream(pa.array(["ab", "cd"]))
    offsets = struct.pack("<iii", 0, 2, 4)
    place = good.rindex(offsets)
    for bad in ((0, 2, 1 << 30), (0, 3, 2), (-4, 0, 4)):
        reply = good[:place] + struct.pack("<iii", *bad) + good[place + 12 :]
        with pytest.raises(ProtocolError):
            _batch_codec(pa.string()).read(reply, 2)


def _mutations(original: bytes) -> st.SearchStrategy[bytes]:
    def mutate(changes: list[tuple[int, int]], cut: int) -> bytes:
        changed = bytearray(original)
        for place, value in changes:
            changed[place % len(changed)] = value
        return bytes(changed[: len(changed) - cut])

    return st.builds(
        mutate,
        st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
        st.integers(0, 64),
    )


@pytest.mark.parametrize("array", SAMPLES, ids=lambda array: str(array.type))
def test_damaged_streams_are_read_validly_or_refused(array: pa.Array) -> None:
    codec = _batch_codec(array.type)

    @given(_mutations(_stream(array)))
    def check(reply: bytes) -> None:
        try:
            result = codec.read(reply, len(array))
        except ProtocolError:
            return
        assert result.type == array.type
        assert len(result) == len(array)
        result.validate(full=True)
        (
            result.cast(pa.string())
            if not pa.types.is_large_binary(array.type) and not pa.types.is_timestamp(array.type)
            else repr(result)
        )

    check()
