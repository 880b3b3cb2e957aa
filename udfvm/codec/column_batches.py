"""Column batches (``struct udfvm_columns`` of the ABI): requests from Arrow columns, and replies as
Arrow columns.

``column_types`` says how types travel in them; some do as Arrow streams, as in calls of vectorised
functions. A reply is hostile input: offsets are checked against the reply here, streams by
``record_batches``, and what buffers hold by ``reply_columns``.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from udfvm.codec.bounds import bytes_in, check_bounds
from udfvm.codec.messages import PREFIX
from udfvm.codec.reply_columns import checked, empty
from udfvm.errors import ProtocolError
from udfvm.layouts import COLUMN, COLUMNS
from udfvm.protocol import COLUMNS_MORE, TYPE_ARROW
from udfvm.texts import counted
from udfvm.types.arrow_types import Parameter, ResultType, RowType, named
from udfvm.types.column_casts import cast_column
from udfvm.types.column_types import column_type

if TYPE_CHECKING:
    from udfvm.codec.record_batches import BatchCodec
    from udfvm.types.arrow_types import Type

_ARROW_TYPES: Final = {
    RowType.BOOL: pa.bool_(),
    RowType.INT64: pa.int64(),
    RowType.FLOAT64: pa.float64(),
    RowType.TEXT: pa.large_string(),
    RowType.BLOB: pa.large_binary(),
}


@functools.lru_cache(maxsize=256)
def stream_codec(name: str) -> BatchCodec:
    """Returns what writes and reads the streams of a column of a type, by its name: the type that
    was declared may be a user's own, which cannot be hashed.
    """
    from udfvm.codec.record_batches import BatchCodec  # only such columns need it

    type_ = named(name)
    return BatchCodec("", [Parameter("", type_, True)], ResultType(type_, True))


def widened(column: pa.Array, declared: Type) -> pa.Array | bytes:
    """Returns a column of a declared type as it travels: an array, or an Arrow stream."""
    if declared.is_stream:
        codec = stream_codec(declared.name)
        return codec.stream(codec.batch([column]))
    return cast_column(column, pa.type_for_alias(column_type(str(column.type))))


def stream_column(type_: Type, stream: bytes, rows: int) -> pa.Array:
    """Returns the column in an Arrow stream that a guest wrote. Raises ValueError, struct.error or
    pyarrow.ArrowException.
    """
    return stream_codec(type_.name).column(stream, rows)


def stream_formats(types: Sequence[Type]) -> tuple[bytes, bytes]:
    """Returns the schema messages of the streams of some columns, one after the other, and the
    record batch messages without their bodies. A column that is none has a prefix of zeros.
    """
    schemas, batches = [], []
    for declared in types:
        if not declared.is_stream:
            schemas.append(bytes(PREFIX.size))
            batches.append(bytes(PREFIX.size))
            continue
        codec = stream_codec(declared.name)
        template = codec.result_template()
        schemas.append(codec.result_schema_message)
        batches.append(template[: PREFIX.size + PREFIX.unpack_from(template)[1]])
    return b"".join(schemas), b"".join(batches)


def reply_frame(types: Sequence[Type], *, sources: bool) -> int:
    """Returns how many bytes a reply with columns of these types has beside their buffers. With
    ``sources`` it also says for which row of arguments its row was made.
    """
    streams = [stream_codec(each.name).reply_frame for each in types if each.is_stream]
    of_column = COLUMN.size + 8  # the first bytes of its validity: see BatchCodec.reply_frame
    of_sources = of_column + 8 if sources else 0
    return COLUMNS.size + len(types) * of_column + sum(streams) + of_sources


def narrowed(column: pa.Array, declared: Type) -> pa.Array:
    """Returns a column that travelled, as the declared type. Raises ValueError where a value is out
    of its range.
    """
    return cast_column(column, declared.arrow)


def encode(columns: Sequence[pa.Array | bytes], rows: int) -> bytes:
    """``struct udfvm_columns`` of columns of so many rows that are stored as they travel (see
    widened).
    """
    end = COLUMNS.size + len(columns) * COLUMN.size
    heads: list[bytes] = []
    parts: list[bytes | pa.Buffer] = []

    def put(data: bytes | pa.Buffer) -> int:
        """Puts a buffer behind the others; returns its offset."""
        nonlocal end
        offset, padding = end, bytes(-len(data) % 8)
        parts.extend((data, padding))
        end += len(data) + len(padding)
        return offset

    for column in columns:
        if isinstance(column, bytes):
            heads.append(COLUMN.pack(TYPE_ARROW, 0, 0, 0, put(column), len(column)))
            continue
        row_type = next(row for row, arrow in _ARROW_TYPES.items() if arrow == column.type)
        validity, offsets, data = _own_buffers(column)
        places = [put(buffer) if len(buffer) else 0 for buffer in (validity, offsets)]
        heads.append(COLUMN.pack(row_type, 0, *places, put(data), len(data)))
    return b"".join((COLUMNS.pack(rows, len(columns), 0), *heads, *parts))


def _own_buffers(column: pa.Array) -> tuple[pa.Buffer, pa.Buffer, pa.Buffer]:
    """Returns validity, offsets and data of a column; without a byte of the array that it is a part
    of. What it does not have is empty.
    """
    rows, nothing = len(column), pa.py_buffer(b"")
    variable = column.type in {pa.large_string(), pa.large_binary()}
    if column.offset or (variable and rows and _offset(column, 0)):
        column = pa.concat_arrays([column, column.slice(0, 0)])  # which copies the part
    validity, *offsets, data = column.buffers()
    validity = validity.slice(0, (rows + 7) // 8) if column.null_count else nothing
    if not variable:
        size = (rows + 7) // 8 if column.type == pa.bool_() else 8 * rows
        return validity, nothing, data.slice(0, size) if size else nothing
    if not rows:
        return validity, pa.py_buffer(bytes(8)), nothing
    used = _offset(column, rows)
    return validity, offsets[0].slice(0, 8 * (rows + 1)), data.slice(0, used) if used else nothing


def _offset(column: pa.Array, row: int) -> int:
    """Returns where the value of a row of text or bytes begins."""
    found: int = struct.unpack_from("<q", column.buffers()[1], 8 * (column.offset + row))[0]
    return found


def decode(
    function: str, reply: bytes, types: Sequence[Type], max_rows: int
) -> tuple[pa.RecordBatch, bool]:
    """Returns the columns of a reply, as the declared types, and whether there is more to fetch.
    Raises ProtocolError.
    """
    try:
        rows, count, flags = COLUMNS.unpack_from(reply)
        if count != len(types) or rows > max_rows or flags & ~COLUMNS_MORE:
            raise ValueError(
                f"{count} columns of {rows} rows where there can be {len(types)} of {max_rows}"
            )
        columns = []
        for index, declared in enumerate(types):
            columns.append(_declared_column(reply, index, declared, rows))
    except (struct.error, ValueError, pa.ArrowException) as error:
        raise ProtocolError(f"UDF {function!r}: the guest's reply is not valid: {error}") from error
    return pa.RecordBatch.from_arrays(columns, names=[f"c{index}" for index in range(count)]), bool(
        flags & COLUMNS_MORE
    )


def checked_sources(function: str, column: pa.Array, first: int, rows: int) -> list[int]:
    """Returns the column of a table function's reply that says for which row of arguments each of
    its rows was made. Raises ProtocolError unless they ascend from the row that the reply before
    ended with, ``first``, to one of the ``rows``.
    """
    found: list[int] = column.to_pylist()
    bounded = [first, *found, rows - 1]
    if None in found or any(before > after for before, after in itertools.pairwise(bounded)):
        raise ProtocolError(
            f"UDF {function!r}: the guest's reply is not valid: its rows do not belong to"
            f" {counted(rows, 'row')} of arguments in turn"
        )
    return found


def _declared_column(reply: bytes, index: int, declared: Type, rows: int) -> pa.Array:
    head = COLUMN.unpack_from(reply, COLUMNS.size + index * COLUMN.size)
    if not declared.is_stream:
        return narrowed(checked(_column(reply, head, declared, rows)), declared)
    row_type, _, _, _, data, length = head
    if row_type != TYPE_ARROW:
        raise ValueError(f"a column of type {row_type} where {declared} is declared")
    check_bounds(data, length, len(reply))
    return stream_codec(declared.name).column(memoryview(reply)[data : data + length], rows)


def _column(reply: bytes, head: tuple[int, ...], declared: Type, rows: int) -> pa.Array:
    row_type, _, validity, offsets, data, length = head
    type_ = _ARROW_TYPES[RowType(declared.row or 0)]
    if row_type == RowType.NULL:
        return pa.nulls(rows, type_)
    if row_type != declared.row:
        raise ValueError(f"a column of type {row_type} where {declared} is declared")
    bits = (rows + 7) // 8
    buffers = [_buffer(reply, validity, bits) if validity else None]
    if row_type in (RowType.TEXT, RowType.BLOB):
        ends = _buffer(reply, offsets, 8 * (rows + 1))
        if not 0 <= int.from_bytes(ends[8 * rows :], "little", signed=True) <= length:
            raise ValueError("offsets lead out of the data")
        buffers += [ends, _buffer(reply, data, length)]
    else:
        buffers.append(_buffer(reply, data, bits if row_type == RowType.BOOL else 8 * rows))
    if not rows:
        return empty(type_)
    return pa.Array.from_buffers(type_, rows, buffers, -1 if validity else 0)


def _buffer(reply: bytes, offset: int, length: int) -> pa.Buffer:
    # A copy, which is aligned.
    return pa.py_buffer(bytes_in(reply, offset, length))
