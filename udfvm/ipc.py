"""Batches over the boundary: Arrow IPC streams of one record batch, written into the input window and read from a reply.

A stream is a schema message, a record batch message and an end mark. The schema of each side is fixed by the UDF's signature, so its
message is known in advance.

A reply is hostile input. Its schema message must be, byte for byte, the one that the declared type has; its record batch message is read
here, in bounds-checked Python, and only the places of the buffers are taken from it: pyarrow never parses metadata that a guest wrote,
and compressed bodies do not exist. What pyarrow then gets are buffers inside the copied reply, which ``validate(full=True)`` checks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.ipc

from udfvm.errors import ProtocolError

if TYPE_CHECKING:
    from udfvm.types import Parameter, ResultType

_CONTINUATION: Final = 0xFFFFFFFF
_PREFIX: Final = struct.Struct("<II")
_END_OF_STREAM: Final = _PREFIX.pack(_CONTINUATION, 0)
_RECORD_BATCH: Final = 3                         # MessageHeader.RecordBatch
_LONGEST_METADATA: Final = 4096


class BatchCodec:
    """Streams of one signature."""

    def __init__(self, function: str, parameters: Sequence[Parameter], result: ResultType) -> None:
        self._function = function
        self.schema = pa.schema([pa.field(f"c{index}", parameter.type.arrow) for index, parameter in enumerate(parameters)])
        self.result_schema = pa.schema([pa.field("result", result.type.arrow)])
        self.schema_message: bytes = self.schema.serialize().to_pybytes()
        self.result_schema_message: bytes = self.result_schema.serialize().to_pybytes()
        self._result_type: pa.DataType = result.type.arrow
        self._result_buffers: int = 0 if pa.types.is_null(self._result_type) else self._result_type.num_buffers
        self._overhead = len(self.schema_message) + len(_END_OF_STREAM)

    def batch(self, columns: Sequence[pa.Array]) -> pa.RecordBatch:
        """A record batch of columns that have the declared types."""
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def size(self, batch: pa.RecordBatch) -> int:
        """Bytes of the stream of a batch."""
        return self._overhead + int(pa.ipc.get_record_batch_size(batch))

    def write(self, window: memoryview, batch: pa.RecordBatch) -> int:
        """Writes the stream of a batch to the beginning of the window, which must have room (see size); returns its length in bytes."""
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_batch(batch)
        return int(sink.tell())

    def read(self, reply: bytes, rows: int) -> pa.Array:
        """The column in a reply, which must have so many rows. Views the reply, without a copy. Raises ProtocolError."""
        try:
            array = self._read(reply, rows)
            array.validate(full=True)
        except (struct.error, ValueError, pa.ArrowException) as error:
            raise ProtocolError(f"UDF {self._function!r}: the guest's reply is no valid stream of {self._result_type}: {error}") from error
        return array

    def _read(self, reply: bytes, rows: int) -> pa.Array:
        if not reply.startswith(self.result_schema_message):
            raise ValueError("its schema is not that of the declared type")
        start = len(self.result_schema_message)
        continuation, metadata_length = _PREFIX.unpack_from(reply, start)
        start += _PREFIX.size
        if continuation != _CONTINUATION or not 0 < metadata_length <= _LONGEST_METADATA:
            raise ValueError("no record batch follows the schema")
        body = start + metadata_length
        length, node_length, places = _record_batch(reply[start:body])
        if length != rows or node_length != rows:
            raise ValueError(f"it has {length} rows where the request had {rows}")
        if len(places) != self._result_buffers:
            raise ValueError(f"it has {len(places)} buffers where the type has {self._result_buffers}")
        return self._array(pa.py_buffer(reply), body, rows, places)

    def _array(self, reply: pa.Buffer, body: int, rows: int, places: Sequence[tuple[int, int]]) -> pa.Array:
        room = reply.size - body
        buffers: list[pa.Buffer | None] = []
        for offset, length in places:
            if not (0 <= offset <= room and 0 <= length <= room - offset):
                raise ValueError("a buffer lies outside of the reply")
            buffers.append(reply.slice(body + offset, length))
        if not places:
            return pa.nulls(rows, self._result_type)
        nullable = places[0][1] > 0
        if not nullable:
            buffers[0] = None                    # no bitmap: no nulls
        return pa.Array.from_buffers(self._result_type, rows, buffers, -1 if nullable else 0)


# ---- The metadata of a record batch message: a flatbuffer (format: flatbuffers.dev; schema: Message.fbs of Apache Arrow) ----


def _record_batch(metadata: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Rows, rows of the only column, and (offset, length) of the buffers. Raises ValueError or struct.error for anything else."""
    message = _Table(metadata, _unsigned(metadata, 0))
    if message.byte(1) != _RECORD_BATCH:
        raise ValueError("no record batch follows the schema")
    batch = message.table(2)
    if batch.has(3):
        raise ValueError("its body is compressed")
    nodes = batch.pairs(1)
    if len(nodes) != 1:
        raise ValueError(f"it has {len(nodes)} columns where there is one")
    return batch.long(0), nodes[0][0], batch.pairs(2)


class _Table:
    """A flatbuffers table; every access is checked against the bytes that there are."""

    __slots__ = ("_bytes", "_position", "_slots")

    def __init__(self, data: bytes, position: int) -> None:
        vtable = position - int(_at("<i", data, position)[0])
        size = _at("<H", data, vtable)[0]
        self._bytes = data
        self._position = position
        self._slots: tuple[int, ...] = _at(f"<{max(0, size - 4) // 2}H", data, vtable + 4)

    def has(self, field: int) -> bool:
        return field < len(self._slots) and self._slots[field] != 0

    def byte(self, field: int) -> int:
        return int(_at("<B", self._bytes, self._position + self._slots[field])[0]) if self.has(field) else 0

    def long(self, field: int) -> int:
        return int(_at("<q", self._bytes, self._position + self._slots[field])[0]) if self.has(field) else 0

    def _target(self, field: int) -> int:
        if not self.has(field):
            raise ValueError("its metadata lacks a field")
        place = self._position + self._slots[field]
        return place + _unsigned(self._bytes, place)

    def table(self, field: int) -> _Table:
        return _Table(self._bytes, self._target(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        if not self.has(field):
            return []
        place = self._target(field)
        count = _unsigned(self._bytes, place)
        if count > len(self._bytes) // 16:
            raise ValueError("its metadata is cut short")
        numbers = _at(f"<{2 * count}q", self._bytes, place + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def _at(format_: str, data: bytes, position: int) -> tuple[int, ...]:
    if position < 0:
        raise ValueError("its metadata points before its beginning")
    return struct.unpack_from(format_, data, position)


def _unsigned(data: bytes, position: int) -> int:
    return _at("<I", data, position)[0]
