"""Arrow IPC streams of numbers without nulls, written and read by copying behind prepared heads.

A batch of a thousand numbers takes less time to compute than pyarrow takes to wrap it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from udfvm.codec.messages import END_OF_STREAM, BatchTemplate
from udfvm.static_typing import Final
from udfvm.tuples import NamedTuple
from udfvm.vmm import copy

_LARGE: Final = 1 << 20  # bytes; from here on the core copies: without the interpreter's lock


def is_number(type_: pa.DataType) -> bool:
    """Whether columns of a type can be copied: integers, floats, timestamps. Guests have no numbers
    of 16 bits that are floats.
    """
    if pa.types.is_float16(type_):
        return False
    return bool(
        pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_timestamp(type_)
    )


class NumberLayout(NamedTuple):
    """Where everything is in the streams of so many rows. ``udfvm/call/small_calls.h`` knows
    the order of the fields.
    """

    rows: int
    request_head: bytes  # schema message and head of the record batch message
    extents: tuple[tuple[int, int], ...]  # of the columns' data in the request: begin, end
    # What is between the columns' data in the request; the last ends the stream.
    gaps: tuple[bytes, ...]
    request_length: int
    reply_head: bytes  # what the stream of such a result begins with
    reply_data: int  # offset of its data
    reply_length: int
    reply_size: int  # bytes of its data
    # Where such a reply says how long its body is, and where in it the data are.
    reply_body_field: int
    reply_offset_field: int


class NumberCodec:
    """Streams of one signature whose columns are all of numbers."""

    def __init__(self, schema: pa.Schema, schema_message: bytes, replies: NumberReplies) -> None:
        """The schema is that of the arguments."""
        self._request = _template(schema, schema_message)
        self._replies = replies
        self._widths = [type_.bit_width // 8 for type_ in schema.types]
        self._last: NumberLayout | None = None

    def layout(self, rows: int) -> NumberLayout:
        """Returns the layout for so many rows. The last one is kept: batches tend to be of one
        size.
        """
        layout = self._last
        if layout is None or layout.rows != rows:
            layout = self._last = self._layout(rows)
        return layout

    def _layout(self, rows: int) -> NumberLayout:
        head = len(self._request.head)
        data, gaps = [], []
        offset = 0
        for width in self._widths:
            data.append((offset, rows * width))
            gaps.append(bytes(_padded(rows * width) - rows * width))
            offset += _padded(rows * width)
        gaps[-1] += END_OF_STREAM
        return NumberLayout(
            rows,
            self._request.filled(rows, offset, data),
            tuple((head + begin, head + begin + length) for begin, length in data),
            tuple(gaps),
            head + offset + len(END_OF_STREAM),
            *self._replies.layout(rows),
        )

    @staticmethod
    def write(
        window: memoryview, layout: NumberLayout, columns: Sequence[Sequence[memoryview]]
    ) -> None:
        """Writes a request, from the chunks of each column's bytes, to the window, whose capacity
        must do for it.

        It writes all bytes of it: what the window held before would be sent else.
        """
        window[: len(layout.request_head)] = layout.request_head
        for (begin, end), gap, chunks in zip(layout.extents, layout.gaps, columns, strict=True):
            for chunk in chunks:
                if len(chunk) < _LARGE:
                    window[begin : begin + len(chunk)] = chunk
                else:
                    copy(window[begin : begin + len(chunk)], chunk)
                begin += len(chunk)
            if begin != end:
                raise ValueError("the chunks of a column are not as long as the column")
            window[end : end + len(gap)] = gap


class _ReplyLayout(NamedTuple):
    head: bytes
    data: int  # offset of the data
    length: int
    size: int
    body_field: int
    offset_field: int


class NumberReplies:
    """Replies that are streams of numbers of one type."""

    def __init__(self, schema: pa.Schema, schema_message: bytes) -> None:
        """The schema is that of the result."""
        self._template = _template(schema, schema_message)
        self._width: int = schema.types[0].bit_width // 8
        self._last: tuple[int, _ReplyLayout] | None = None

    def layout(self, rows: int) -> _ReplyLayout:
        """Returns the usual layout of so many rows. The last one is kept."""
        last = self._last
        if last is not None and last[0] == rows:
            return last[1]
        data = _padded((rows + 7) // 8)  # guests leave space for a bitmap
        body = data + _padded(rows * self._width)
        start = len(self._template.head)
        head = self._template.filled(rows, body, [(data, rows * self._width)])
        layout = _ReplyLayout(
            head,
            start + data,
            start + body + len(END_OF_STREAM),
            rows * self._width,
            self._template.body_length,
            self._template.offset_of_data,
        )
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


def _template(schema: pa.Schema, schema_message: bytes) -> BatchTemplate:
    columns = [pa.array([0], pa.int64()).cast(type_) for type_ in schema.types]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    return BatchTemplate.of(schema_message, batch.serialize().to_pybytes())


def _padded(length: int) -> int:
    return (length + 7) & ~7
