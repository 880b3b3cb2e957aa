"""Arguments and results of host functions: ``struct udfvm_row`` that a guest wrote, and ``struct
udfvm_value`` for it. Lists, structs, maps and unions are Arrow streams in them, of one value, as
columns of them are in column batches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from udfvm.codec.argument_errors import argument_error
from udfvm.codec.number_rows import number_unpacker
from udfvm.codec.rows import encode_value
from udfvm.codec.stored_values import Decoder
from udfvm.codec.text_codecs import bytes_at
from udfvm.codec.value_codecs import decoder_of
from udfvm.layouts import INTEGER, REAL, ROW, VALUE
from udfvm.protocol import TYPE_ARROW, TYPE_NULL
from udfvm.static_typing import Any, Final
from udfvm.types.arrow_types import JSON, Kind, Parameter, Type

_NUMBERS: Final[dict[str, tuple[type, struct.Struct]]] = {
    "double": (float, REAL),
    "int64": (int, INTEGER),
}


def is_stream(type_: Type) -> bool:
    """Returns True if values of a type are Arrow streams."""
    return type_.is_stream and type_.kind is not Kind.NULL


def value_row_type(type_: Type) -> int:
    """Returns the ``udfvm.protocol.TYPE_`` of values of a type."""
    return TYPE_ARROW if is_stream(type_) else int(type_.row or 0)


def stream_schema(type_: Type) -> bytes:
    """Returns the schema message of the streams of a type; nothing if its values are none."""
    if not is_stream(type_):
        return b""
    from udfvm.codec.column_batches import stream_codec

    return stream_codec(type_.name).schema_message


def decode_row(payload: bytes, parameters: Sequence[Parameter]) -> list[Any]:
    """Returns the values of a ``struct udfvm_row`` that a guest wrote.

    Raises ValueError, OverflowError or struct.error for what is not valid.
    """
    count, _ = ROW.unpack_from(payload)
    if count != len(parameters):
        raise ValueError(f"{count} values for {len(parameters)} parameters")
    values: list[Any] = []
    for index, parameter in enumerate(parameters):
        offset = ROW.size + index * VALUE.size
        row_type, _, _ = VALUE.unpack_from(payload, offset)
        if row_type == TYPE_NULL:
            values.append(None)
            continue
        if row_type != value_row_type(parameter.type):
            raise ValueError(f"a value of type {row_type} where {parameter.type} is declared")
        values.append(_decoder_of(parameter.type)(payload, offset))
    return values


def _decoder_of(type_: Type) -> Decoder:
    if not is_stream(type_):
        return decoder_of(type_)
    import pyarrow as pa

    from udfvm.codec.column_batches import stream_column
    from udfvm.types.array_values import to_values

    def decode(data: bytes, offset: int) -> object:
        try:
            return to_values(stream_column(type_, bytes_at(data, offset), 1))[0]
        except (pa.ArrowException, ArithmeticError) as error:
            raise ValueError(str(error)) from error

    return decode


def row_reader(parameters: Sequence[Parameter]) -> Callable[[bytes], list[Any]]:
    """Returns what reads rows as ``decode_row`` does, and those of numbers by one call."""
    unpack = number_unpacker(parameters)

    def read(payload: bytes) -> list[Any]:
        values = None if unpack is None else unpack(payload)
        return decode_row(payload, parameters) if values is None else values

    return read


def value_writer(function: str, parameter: Parameter) -> Callable[[object], bytes]:
    """Returns what makes a ``struct udfvm_value`` and its bytes, of usual numbers by one call. It
    raises TypeMappingError for a value that is not of the type.
    """
    if is_stream(parameter.type):
        return lambda value: _stream_value(function, parameter, value)
    if parameter.type == JSON:
        return lambda value: encode_value(function, parameter, _json(function, parameter, value))
    class_, layout = _NUMBERS.get(parameter.type.name, (None, INTEGER))
    row_type = parameter.type.row or 0

    def write(value: object) -> bytes:
        if type(value) is class_:
            try:
                return layout.pack(row_type, 0, value)
            except struct.error:
                pass  # an integer out of range
        return encode_value(function, parameter, value)

    return write


def _stream_value(function: str, parameter: Parameter, value: object) -> bytes:
    import pyarrow as pa

    from udfvm.codec.column_batches import stream_codec
    from udfvm.codec.scalars import scalar_of

    if value is None:
        return encode_value(function, parameter, None)
    codec = stream_codec(parameter.type.name)
    column = pa.repeat(scalar_of(function, parameter, value), 1)
    stream = codec.stream(codec.batch([column]))
    return VALUE.pack(TYPE_ARROW, len(stream), VALUE.size) + stream


def _json(function: str, parameter: Parameter, value: object) -> str | None:
    if value is None:
        return None
    from udfvm.types.json_text import check_keys, to_json
    from udfvm.types.records import as_dictionaries

    try:
        plain = as_dictionaries(value)
        check_keys(plain)
        return to_json(plain)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"JSON cannot represent: {error}"
        raise argument_error(function, parameter, reason) from error
