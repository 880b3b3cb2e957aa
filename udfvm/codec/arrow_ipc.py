"""Batches over the boundary: Arrow IPC streams of one record batch, written into the input window
and read from a reply.

A stream is a schema message, a record batch message and an end mark. The schema of each side is
fixed by the UDF's signature, so its message is known in advance.

A reply is hostile input. Its schema message must be, byte for byte, the one that the declared type
has; its record batch message is read here, in bounds-checked Python, and only the places of the
buffers are taken from it: pyarrow never parses metadata that a guest wrote, and compressed bodies
do not exist. What pyarrow then gets are buffers inside the copied reply, which ``reply_columns``
checks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.ipc

from udfvm.codec.replies import Places, column_of
from udfvm.codec.window import TooLargeForWindowError
from udfvm.errors import ProtocolError
from udfvm.vmm import copy

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter, ResultType

_CONTINUATION: Final = 0xFFFFFFFF
_PREFIX: Final = struct.Struct("<II")
_END_OF_STREAM: Final = _PREFIX.pack(_CONTINUATION, 0)
_RECORD_BATCH: Final = 3  # MessageHeader.RecordBatch
_LONGEST_METADATA: Final = 1 << 20  # bytes: 48 for each column in a column
_LARGE: Final = 1 << 20  # bytes; from here on the core copies: without the interpreter's lock


class BatchReply(NamedTuple):
    """The reply to a batch of so many rows: a stream, or, of one of numbers without nulls, the
    numbers alone.
    """

    data: bytes | memoryview
    rows: int
    is_data: bool


class BatchCodec:
    """Streams of one signature."""

    def __init__(self, function: str, parameters: Sequence[Parameter], result: ResultType) -> None:
        self.function = function
        self.schema = pa.schema(
            [
                pa.field(f"c{index}", parameter.type.arrow)
                for index, parameter in enumerate(parameters)
            ]
        )
        self.result_schema = pa.schema([pa.field("result", result.type.arrow)])
        self.schema_message: bytes = self.schema.serialize().to_pybytes()
        self.result_schema_message: bytes = self.result_schema.serialize().to_pybytes()
        self._result_type: pa.DataType = result.type.arrow
        self._numbers: NumberReplies | None = None
        self._overhead = len(self.schema_message) + len(_END_OF_STREAM)

    def batch(self, columns: Sequence[pa.Array]) -> pa.RecordBatch:
        """A record batch of columns that have the declared types; of one row where there are no
        columns.
        """
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def size(self, batch: pa.RecordBatch) -> int:
        """Bytes of the stream of a batch."""
        return self._overhead + int(pa.ipc.get_record_batch_size(batch))

    def write(self, window: memoryview, batch: pa.RecordBatch) -> int:
        """Writes the stream of a batch to the beginning of the window; returns its length in bytes.
        Raises TooLargeForWindowError.
        """
        size = self.size(batch)
        if size > len(window):
            raise TooLargeForWindowError(size, len(window))
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_batch(batch)
        return int(sink.tell())

    def stream(self, batch: pa.RecordBatch) -> bytes:
        """The stream of a batch."""
        window = bytearray(self.size(batch))
        self.write(memoryview(window), batch)
        return bytes(window)

    def null_and_zero(self) -> pa.RecordBatch:
        """A batch of two rows, one of nulls and one of zeros and empty strings: something of the
        right shape, to warm up with.
        """
        return self.batch([_zeros(type_, 2, null_first=True) for type_ in self.schema.types])

    def result_template(self) -> bytes:
        """The record batch message of a result of one row without nulls."""
        batch = pa.RecordBatch.from_arrays(
            [_zeros(self._result_type, 1)], schema=self.result_schema
        )
        return bytes(batch.serialize().to_pybytes())

    def file_template(self) -> bytes:
        """An Arrow IPC file with one row of arguments without nulls."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, self.schema) as writer:
            writer.write_batch(self.batch([_zeros(type_, 1) for type_ in self.schema.types]))
        return sink.getvalue().to_pybytes()

    def number_replies(self) -> NumberReplies | None:
        """Replies of numbers without nulls, where the result has such a type."""
        if self._numbers is None and NumberCodec.takes(self._result_type):
            self._numbers = NumberReplies(self.result_schema, self.result_schema_message)
        return self._numbers

    def numbers_in(self, reply: memoryview, rows: int) -> slice | None:
        """Where a reply has its numbers, if these are all that is to be read of it; else None."""
        replies = self.number_replies()
        return None if replies is None else replies.numbers_in(reply, rows)

    def reply(self, data: bytes | memoryview, rows: int, is_data: bool) -> BatchReply:
        """What the core handed out of a reply to so many rows."""
        return BatchReply(data, rows, is_data)

    def array(self, reply: BatchReply) -> pa.Array:
        """The column in a reply. Views the reply, without a copy. Raises ProtocolError."""
        if not reply.is_data:
            return self.read(reply.data, reply.rows)
        return pa.Array.from_buffers(
            self._result_type, reply.rows, [None, pa.py_buffer(reply.data)], 0
        )

    def read(self, reply: bytes | memoryview, rows: int) -> pa.Array:
        """The column in a reply, which must have so many rows. Views the reply, without a copy.
        Raises ProtocolError.
        """
        try:
            return self._read(reply, rows)
        except (struct.error, ValueError, pa.ArrowException) as error:
            raise ProtocolError(
                f"UDF {self.function!r}: the guest's reply is no valid stream of"
                f" {self._result_type}: {error}"
            ) from error

    def _read(self, reply: bytes | memoryview, rows: int) -> pa.Array:
        start = len(self.result_schema_message)
        if bytes(reply[:start]) != self.result_schema_message:
            raise ValueError("its schema is not that of the declared type")
        continuation, metadata_length = _PREFIX.unpack_from(reply, start)
        start += _PREFIX.size
        if continuation != _CONTINUATION or not 0 < metadata_length <= _LONGEST_METADATA:
            raise ValueError("no record batch follows the schema")
        body = start + metadata_length
        places = _record_batch(bytes(reply[start:body]))
        return column_of(self._result_type, rows, places, pa.py_buffer(reply), body)


def _zeros(type_: pa.DataType, rows: int, *, null_first: bool = False) -> pa.Array:
    """A column of zeros and empty strings, for one row or two."""
    if pa.types.is_null(type_):
        return pa.nulls(rows)
    if type_.num_fields:
        zero = _zero_value(type_)
        return pa.array([None, zero] if null_first else [zero] * rows, type_)
    buffers: list[pa.Buffer | None] = [pa.py_buffer(bytes(64)) for _ in range(type_.num_buffers)]
    buffers[0] = pa.py_buffer(b"\x02") if null_first else None
    return pa.Array.from_buffers(type_, rows, buffers, int(null_first))


def _zero_value(type_: pa.DataType) -> object:
    if pa.types.is_struct(type_):
        return {
            type_.field(index).name: _zero_value(type_.field(index).type)
            for index in range(type_.num_fields)
        }
    if pa.types.is_fixed_size_list(type_):
        return [_zero_value(type_.value_type)] * type_.list_size
    return [] if type_.num_fields else _zeros(type_, 1)[0]


class NumberLayout(NamedTuple):
    """Where everything is in the streams of so many rows of numbers without nulls."""

    rows: int
    request_head: bytes  # schema message and head of the record batch message
    places: tuple[tuple[int, int], ...]  # of the columns' data in the request: begin, end
    # What is between the columns' data in the request; the last ends the stream.
    gaps: tuple[bytes, ...]
    request_length: int
    reply_head: bytes  # what the stream of such a result begins with
    reply_data: int  # where its data begin
    reply_length: int


class NumberCodec:
    """Streams of numbers without nulls, made by copying: for signatures whose columns are all of
    fixed width.

    A batch of a thousand numbers takes less time to compute than pyarrow takes to wrap it.
    """

    def __init__(self, codec: BatchCodec) -> None:
        self._request = _Template.of(codec.schema, codec.schema_message)
        replies = codec.number_replies()
        if replies is None:
            raise ValueError("the result has no type of numbers")
        self._replies: NumberReplies = replies
        self._widths = [type_.bit_width // 8 for type_ in codec.schema.types]
        self._last: NumberLayout | None = None

    @staticmethod
    def takes(type_: pa.DataType) -> bool:
        """Whether columns of a type can be copied: integers, floats, timestamps."""
        return bool(
            pa.types.is_integer(type_)
            or pa.types.is_floating(type_)
            or pa.types.is_timestamp(type_)
        )

    def layout(self, rows: int) -> NumberLayout:
        """The layout for so many rows. The last one is kept: batches tend to be of one size."""
        layout = self._last
        if layout is None or layout.rows != rows:
            layout = self._last = self._layout(rows)
        return layout

    def _layout(self, rows: int) -> NumberLayout:
        head = len(self._request.head)
        places, gaps = [], []
        position = 0
        for width in self._widths:
            places.append((position, rows * width))
            gaps.append(bytes(_padded(rows * width) - rows * width))
            position += _padded(rows * width)
        gaps[-1] += _END_OF_STREAM
        return NumberLayout(
            rows,
            self._request.filled(rows, position, places),
            tuple((head + begin, head + begin + length) for begin, length in places),
            tuple(gaps),
            head + position + len(_END_OF_STREAM),
            *self._replies.layout(rows),
        )

    @staticmethod
    def write(
        window: memoryview, layout: NumberLayout, columns: Sequence[Sequence[memoryview]]
    ) -> None:
        """Writes a request, from the bytes of each column, which may be in pieces, to the window,
        which must have room for it.

        All of its bytes, or what the window held before would be sent.
        """
        window[: len(layout.request_head)] = layout.request_head
        for (begin, end), gap, pieces in zip(layout.places, layout.gaps, columns, strict=True):
            for piece in pieces:
                if len(piece) < _LARGE:
                    window[begin : begin + len(piece)] = piece
                else:
                    copy(window[begin : begin + len(piece)], piece)
                begin += len(piece)
            if begin != end:
                raise ValueError("the pieces of a column are not as long as the column")
            window[end : end + len(gap)] = gap


class _ReplyLayout(NamedTuple):
    head: bytes
    data: int  # where the data begin
    length: int


class NumberReplies:
    """Replies that are streams of numbers without nulls, of one type."""

    def __init__(self, schema: pa.Schema, schema_message: bytes) -> None:
        self._template = _Template.of(schema, schema_message)
        self._width: int = schema.types[0].bit_width // 8
        self._last: tuple[int, _ReplyLayout] | None = None

    def layout(self, rows: int) -> _ReplyLayout:
        """The usual layout of so many rows. The last one is kept."""
        last = self._last
        if last is not None and last[0] == rows:
            return last[1]
        data = _padded((rows + 7) // 8)  # a reply leaves room for a bitmap
        body = data + _padded(rows * self._width)
        start = len(self._template.head)
        head = self._template.filled(rows, body, [(data, rows * self._width)])
        layout = _ReplyLayout(head, start + data, start + body + len(_END_OF_STREAM))
        self._last = rows, layout
        return layout

    def numbers_in(self, reply: memoryview, rows: int) -> slice | None:
        """Where the numbers are in a reply, if that is a stream of so many without nulls: then any
        bytes of its data are numbers.

        It has the usual layout, or a gap before data that end it.
        """
        layout = self.layout(rows)
        start, length = len(layout.head), rows * self._width
        head = bytes(reply[:start])
        if len(reply) == layout.length and head == layout.head:
            return slice(layout.data, layout.data + length)
        begin = len(reply) - length
        if (
            begin < layout.length
            or begin % 8
            or head != self._template.filled(rows, len(reply) - start, [(begin - start, length)])
        ):
            return None
        return slice(begin, begin + length)


class _Template(NamedTuple):
    """The head of a stream: schema message and metadata of the record batch, in which numbers can
    be put.
    """

    head: bytes
    rows: int  # offsets of the numbers in it
    body_length: int
    nodes: int
    buffers: int

    @classmethod
    def of(cls, schema: pa.Schema, schema_message: bytes) -> _Template:
        batch = pa.RecordBatch.from_arrays(
            [pa.array([0], pa.int64()).cast(type_) for type_ in schema.types], schema=schema
        )
        message = batch.serialize().to_pybytes()
        start = len(schema_message) + _PREFIX.size
        end = _PREFIX.size + _PREFIX.unpack_from(message)[1]
        table = _Table(message[_PREFIX.size : end], _unsigned(message, _PREFIX.size))
        header = table.table(2)
        return cls(
            schema_message + message[:end],
            start + header.place(0),
            start + table.place(3),
            start + header.target(1) + 4,
            start + header.target(2) + 4,
        )

    def filled(self, rows: int, body_length: int, places: Sequence[tuple[int, int]]) -> bytes:
        """The head for columns of so many rows, without nulls, whose data are at these places of
        the body.
        """
        head = bytearray(self.head)
        struct.pack_into("<q", head, self.rows, rows)
        struct.pack_into("<q", head, self.body_length, body_length)
        for index, (begin, length) in enumerate(places):
            struct.pack_into("<qq", head, self.nodes + 16 * index, rows, 0)
            struct.pack_into("<qqqq", head, self.buffers + 32 * index, 0, 0, begin, length)
        return bytes(head)


def _padded(length: int) -> int:
    return (length + 7) & ~7


# ---- The metadata of a record batch message: a flatbuffer (format: flatbuffers.dev; schema:
# Message.fbs of Apache Arrow) ----


def _record_batch(metadata: bytes) -> Places:
    """What the metadata of a record batch say of its columns. Raises ValueError or struct.error for
    anything else.
    """
    message = _Table(metadata, _unsigned(metadata, 0))
    if message.byte(1) != _RECORD_BATCH:
        raise ValueError("no record batch follows the schema")
    batch = message.table(2)
    if batch.has(3):
        raise ValueError("its body is compressed")
    return Places(batch.long(0), batch.pairs(1), batch.pairs(2))


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
        return (
            int(_at("<B", self._bytes, self._position + self._slots[field])[0])
            if self.has(field)
            else 0
        )

    def long(self, field: int) -> int:
        return (
            int(_at("<q", self._bytes, self._position + self._slots[field])[0])
            if self.has(field)
            else 0
        )

    def place(self, field: int) -> int:
        """Where the field is."""
        if not self.has(field):
            raise ValueError("its metadata lacks a field")
        return self._position + self._slots[field]

    def target(self, field: int) -> int:
        """What the field, an offset, points to."""
        place = self.place(field)
        return place + _unsigned(self._bytes, place)

    def table(self, field: int) -> _Table:
        return _Table(self._bytes, self.target(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        if not self.has(field):
            return []
        place = self.target(field)
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
