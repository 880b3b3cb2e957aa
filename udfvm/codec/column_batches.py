"""Batches of fixed layout (``struct udfvm_columns`` of the ABI): requests from Arrow columns, and
replies as Arrow columns.

The layout has five types; narrower ones, dates and times travel as int64, float32 as double. A
reply is hostile input: places are checked against the reply here, and what the buffers hold by
``reply_columns``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.reply_columns import checked, empty
from udfvm.errors import ProtocolError, SignatureError, TypeMappingError
from udfvm.protocol import COLUMNS_MORE
from udfvm.types.array_conversions import convert
from udfvm.types.arrow_types import RowType

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Type

_HEAD: Final = struct.Struct("<QII")
_COLUMN: Final = struct.Struct("<IIQQQQ")

_WIDE: Final = {
    RowType.BOOL: pa.bool_(),
    RowType.INT64: pa.int64(),
    RowType.FLOAT64: pa.float64(),
    RowType.TEXT: pa.large_string(),
    RowType.BLOB: pa.large_binary(),
}


def row_type(function: str, where: str, type_: Type) -> RowType:
    """How a type travels. Raises SignatureError for one that cannot."""
    if type_.row is None or type_.row is RowType.NULL or type_.is_nested:
        raise SignatureError(
            f"UDF {function!r}: {where} is {type_}, which table functions and aggregates do not"
            " have"
        )
    return type_.row


def widened(column: pa.Array) -> pa.Array:
    """A column of a declared type as it travels."""
    kind = column.type
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).cast(pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_boolean(kind):
        return column
    if kind.num_fields:
        return pa.array(
            [None if value is None else _json(value) for value in column.to_pylist()],
            pa.large_string(),
        )
    return column.cast(
        pa.large_string()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind)
        else pa.large_binary()
    )


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_jsonable)
    except ValueError as error:
        raise TypeMappingError(f"an argument that is a list or struct: {error}") from error


def _jsonable(value: Any) -> str:
    """What JSON has no word for, as guests write it."""
    return value.hex().upper() if isinstance(value, bytes) else str(value.isoformat())


def narrowed(column: pa.Array, declared: Type) -> pa.Array:
    """A column that travelled, as the declared type. Raises ValueError where a value is out of its
    range.
    """
    kind = declared.arrow
    if pa.types.is_floating(kind):
        return convert(column, kind)
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).cast(kind)
    made = column.cast(kind)
    if pa.types.is_date64(kind):
        made.validate(full=True)  # the cast takes any integer
    return made


def encode(columns: Sequence[pa.Array], rows: int) -> bytes:
    """``struct udfvm_columns`` of columns that are stored as they travel (see widened)."""
    place = _HEAD.size + len(columns) * _COLUMN.size
    heads, pieces = [], []

    def put(piece: bytes) -> int:
        nonlocal place
        start = place
        pieces.append(piece + bytes(-len(piece) % 8))
        place += len(pieces[-1])
        return start

    for column in columns:
        whole = pa.concat_arrays([column, column.slice(0, 0)]) if column.offset else column
        buffers = [b"" if buffer is None else buffer.to_pybytes() for buffer in whole.buffers()]
        kind = next(row for row, arrow in _WIDE.items() if arrow == column.type)
        bits = (rows + 7) // 8
        validity = put(buffers[0][:bits]) if whole.null_count else 0
        offsets = put(buffers[1].ljust(8, b"\0")) if len(buffers) == 3 else 0
        fixed = bits if kind is RowType.BOOL else 8 * rows
        data = buffers[-1] if offsets else buffers[-1][:fixed]
        heads.append(_COLUMN.pack(kind, 0, validity, offsets, put(data), len(data)))
    return b"".join((_HEAD.pack(rows, len(columns), 0), *heads, *pieces))


def decode(
    function: str, reply: bytes, types: Sequence[Type], most_rows: int
) -> tuple[pa.RecordBatch, bool]:
    """The columns of a reply, as the declared types, and whether there is more to fetch. Raises
    ProtocolError.
    """
    try:
        rows, count, flags = _HEAD.unpack_from(reply)
        if count != len(types) or rows > most_rows or flags & ~COLUMNS_MORE:
            raise ValueError(
                f"{count} columns of {rows} rows where there can be {len(types)} of {most_rows}"
            )
        columns = []
        for index, declared in enumerate(types):
            columns.append(narrowed(checked(_column(reply, index, declared, rows)), declared))
    except (struct.error, ValueError, pa.ArrowException) as error:
        raise ProtocolError(f"UDF {function!r}: the guest's reply is not valid: {error}") from error
    return pa.RecordBatch.from_arrays(columns, names=[f"c{index}" for index in range(count)]), bool(
        flags & COLUMNS_MORE
    )


def _column(reply: bytes, index: int, declared: Type, rows: int) -> pa.Array:
    kind, _, validity, offsets, data, length = _COLUMN.unpack_from(
        reply, _HEAD.size + index * _COLUMN.size
    )
    wide = _WIDE[RowType(declared.row or 0)]
    if kind == RowType.NULL:
        return pa.nulls(rows, wide)
    if kind != declared.row:
        raise ValueError(f"a column of type {kind} where {declared} is declared")
    bits = (rows + 7) // 8
    buffers = [_part(reply, validity, bits) if validity else None]
    if kind in (RowType.TEXT, RowType.BLOB):
        places = _part(reply, offsets, 8 * (rows + 1))
        if not 0 <= int.from_bytes(places[8 * rows :], "little", signed=True) <= length:
            raise ValueError("offsets lead out of the data")
        buffers += [places, _part(reply, data, length)]
    else:
        buffers.append(_part(reply, data, bits if kind == RowType.BOOL else 8 * rows))
    if not rows:
        return empty(wide)
    return pa.Array.from_buffers(wide, rows, buffers, -1 if validity else 0)


def _part(reply: bytes, place: int, length: int) -> pa.Buffer:
    if place > len(reply) or length > len(reply) - place:
        raise ValueError("a buffer lies outside of the reply")
    return pa.py_buffer(reply[place : place + length])  # a copy, which is aligned
