"""Record batches: Arrow IPC streams of one each, written into the input window and read from a
reply.

A stream is a schema message, a record batch message and an end mark. The UDF's signature fixes the
schema of requests and of replies, so both messages are known in advance.

A reply is hostile input. Its schema message must be, byte for byte, the one that the declared type
has; ``messages`` reads its record batch message, in bounds-checked Python, and only the offsets and
lengths of buffers are taken from it: pyarrow never parses metadata that a guest wrote, and
compressed bodies do not exist. What pyarrow then gets are buffers inside the copied reply, which
``reply_columns`` checks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.ipc

from udfvm.codec.messages import END_OF_STREAM, PREFIX, batch_at
from udfvm.codec.number_streams import NumberCodec, NumberReplies, is_number
from udfvm.codec.reply_columns import column_of
from udfvm.codec.window import TooLargeForWindowError
from udfvm.errors import ProtocolError
from udfvm.static_typing import TYPE_CHECKING, Final
from udfvm.tuples import NamedTuple
from udfvm.types.array_conversions import anchored
from udfvm.types.nested import holds_others
from udfvm.types.unions import Chosen, array_of

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter, ResultType


class BatchReply(NamedTuple):
    """The reply to a batch of so many rows: a stream, or, of one of numbers without nulls, the
    numbers alone.
    """

    data: bytes | memoryview | pa.Buffer
    rows: int
    is_data: bool


_FIRST_VALIDITY: Final = 8  # bytes


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
        #: Whether results are made another type, the declared one, behind this.
        self.is_restored = result.type.exact is not None
        self._is_nested = any(type_.num_fields for type_ in self.schema.types)
        self._numbers: NumberReplies | None = None
        self._overhead = len(self.schema_message) + len(END_OF_STREAM)

    def batch(self, columns: Sequence[pa.Array], rows: int = 1) -> pa.RecordBatch:
        """Returns a record batch of columns that have the declared types; where there are none, of
        so many rows.
        """
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def size(self, batch: pa.RecordBatch) -> int:
        """Bytes of the stream of a batch."""
        return self._overhead + int(pa.ipc.get_record_batch_size(self._anchored(batch)))

    def write(self, window: memoryview, batch: pa.RecordBatch) -> int:
        """Writes the stream of a batch to the beginning of the window; returns its length in bytes.
        Raises TooLargeForWindowError.
        """
        batch = self._anchored(batch)
        size = self.size(batch)
        if size > len(window):
            raise TooLargeForWindowError(size, len(window))
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_batch(batch)
        return int(sink.tell())

    def _anchored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._is_nested and batch.num_rows:
            return batch
        columns = [anchored(column) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema) if columns else batch

    def stream(self, batch: pa.RecordBatch) -> bytes:
        """Returns the stream of a batch."""
        window = bytearray(self.size(batch))
        self.write(memoryview(window), batch)
        return bytes(window)

    def null_and_zero(self) -> pa.RecordBatch:
        """Returns a batch of two rows, one of nulls and one of zeros and empty strings: something
        of the right shape, to warm up with.
        """
        return self.batch([_zeros(type_, 2, null_first=True) for type_ in self.schema.types])

    @property
    def reply_frame(self) -> int:
        """Bytes of a reply beside the buffers of its result. The first of the validity count as
        these, because some guests always write it.
        """
        template = self.result_template()
        head = PREFIX.size + PREFIX.unpack_from(template)[1]
        return len(self.result_schema_message) + head + len(END_OF_STREAM) + _FIRST_VALIDITY

    def result_template(self) -> bytes:
        """Returns the record batch message of a result of one row without nulls."""
        batch = pa.RecordBatch.from_arrays(
            [_zeros(self._result_type, 1)], schema=self.result_schema
        )
        return bytes(batch.serialize().to_pybytes())

    def file_template(self) -> bytes:
        """Returns an Arrow IPC file with one row of arguments without nulls."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, self.schema) as writer:
            writer.write_batch(self.batch([_zeros(type_, 1) for type_ in self.schema.types]))
        return sink.getvalue().to_pybytes()

    def number_codec(self) -> NumberCodec | None:
        """Requests and replies of numbers without nulls; None where a column, or the result, has
        another type, and where there are no columns.
        """
        replies = self.number_replies()
        if replies is None or not self.schema.types or not all(map(is_number, self.schema.types)):
            return None
        return NumberCodec(self.schema, self.schema_message, replies)

    def number_replies(self) -> NumberReplies | None:
        """Replies of numbers without nulls; None where the result has another type."""
        if self._numbers is None and is_number(self._result_type):
            self._numbers = NumberReplies(self.result_schema, self.result_schema_message)
        return self._numbers

    def numbers_in(self, reply: memoryview, rows: int) -> slice | None:
        """Returns where a reply has its numbers, if these are all that is to be read of it; else
        None.
        """
        replies = self.number_replies()
        return None if replies is None else replies.numbers_in(reply, rows)

    def reply(self, data: bytes | memoryview | pa.Buffer, rows: int, is_data: bool) -> BatchReply:
        """Returns what the core handed out of a reply to so many rows."""
        return BatchReply(data, rows, is_data)

    def array(self, reply: BatchReply) -> pa.Array:
        """Returns the column in a reply. Views the reply, without a copy. Raises ProtocolError."""
        if not reply.is_data:
            return self.read(reply.data, reply.rows)
        return pa.Array.from_buffers(self._result_type, reply.rows, [None, _buffer(reply.data)], 0)

    def read(self, reply: bytes | memoryview | pa.Buffer, rows: int) -> pa.Array:
        """Returns the column in a reply, which must have so many rows. Views the reply, without a
        copy. Raises ProtocolError.
        """
        try:
            return self.column(reply, rows)
        except (struct.error, ValueError, pa.ArrowException) as error:
            raise ProtocolError(
                f"UDF {self.function!r}: the guest's reply is not a valid stream of"
                f" {self._result_type}: {error}"
            ) from error

    def column(self, reply: bytes | memoryview | pa.Buffer, rows: int) -> pa.Array:
        """As ``read``. Raises ValueError, struct.error or pyarrow.ArrowException."""
        start = len(self.result_schema_message)
        if bytes(reply[:start]) != self.result_schema_message:
            raise ValueError("its schema is not that of the declared type")
        metadata, body = batch_at(reply, start)
        return column_of(self._result_type, rows, metadata, _buffer(reply), body)


def _buffer(reply: bytes | memoryview | pa.Buffer) -> pa.Buffer:
    """Returns a reply as a buffer. One that is Arrow's own stays that, and no object of Python."""
    return reply if isinstance(reply, pa.Buffer) else pa.py_buffer(reply)


def one_batch(table: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    """Returns one record batch of all rows; copies only where there are several chunks."""
    if isinstance(table, pa.RecordBatch):
        return table
    columns = [
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        for column in table.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _zeros(type_: pa.DataType, rows: int, *, null_first: bool = False) -> pa.Array:
    """Returns a column of zeros and empty strings, for one row or two."""
    if pa.types.is_null(type_):
        return pa.nulls(rows)
    if holds_others(type_):
        zero = _zero_value(type_)
        return array_of([None, zero] if null_first else [zero] * rows, type_)
    size = 64  # two of the widest decimals, and more than those of all other types but one
    if pa.types.is_fixed_size_binary(type_):
        size += rows * type_.byte_width
    buffers: list[pa.Buffer | None] = [pa.py_buffer(bytes(size)) for _ in range(type_.num_buffers)]
    buffers[0] = pa.py_buffer(b"\x02") if null_first else None
    return pa.Array.from_buffers(type_, rows, buffers, int(null_first))


def _zero_value(type_: pa.DataType) -> object:
    if pa.types.is_struct(type_):
        fields = [type_.field(index) for index in range(type_.num_fields)]
        return [(field.name, _zero_value(field.type)) for field in fields] or {}
    if pa.types.is_union(type_):
        return Chosen(0, _zero_value(type_.field(0).type))
    if pa.types.is_fixed_size_list(type_):
        return [_zero_value(type_.value_type)] * type_.list_size
    if pa.types.is_null(type_):
        return None
    return [] if type_.num_fields else _zeros(type_, 1)[0]
