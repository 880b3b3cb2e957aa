"""Single values: Python's objects as rows store them, and back, for each kind of type.

``codec_of`` looks into the one table: a new kind of type is an entry of it. What is stored is an
integer, a float or bytes; ``udfvm.layouts`` has where it lies. Guests have the same table in
guest/runtimes/python/_udfvm_value_types.py.
"""

from __future__ import annotations

import operator
import sys

from udfvm.checks import is_real
from udfvm.codec.argument_errors import argument_error, wrong_value
from udfvm.codec.stored_values import Decoder, ValueCodec
from udfvm.codec.text_codecs import (
    bytes_at,
    decimal_decoder,
    encode_decimal,
    encode_interval,
    interval_decoder,
)
from udfvm.layouts import INTEGER, REAL
from udfvm.static_typing import Any, Final
from udfvm.texts import counted
from udfvm.types.arrow_types import JSON, Kind, Parameter, RowType, Type

#: Classes whose instances, and None, are looked at by encoders alone: nothing else stands for null
#: among them, and none is an array. Those of datetime are here since a function took one of them:
#: before that, importing datetime is left to others.
PYTHON_CLASSES: Final[set[type]] = {type(None), bool, int, float, str, bytes}
_TIMES: Final = frozenset({Kind.DATE, Kind.DATETIME, Kind.TIME, Kind.DURATION})
_TIME_CLASSES: Final = frozenset({"date", "datetime", "time", "timedelta"})


def is_python_value(value: object) -> bool:
    """Returns True for an instance of such a class, datetime's included."""
    class_ = type(value)
    return class_ in PYTHON_CLASSES or (
        class_.__module__ == "datetime" and class_.__name__ in _TIME_CLASSES
    )


def has_codec(kind: Kind) -> bool:
    """Returns True if rows have values of a kind of type."""
    return kind in _CODECS or kind in _TIMES


def codec_of(kind: Kind) -> ValueCodec:
    """Returns the codec of a kind of type that rows have."""
    if kind not in _TIMES:
        return _CODECS[kind]
    from udfvm.codec.time_codecs import CLASSES, TIME_CODECS

    PYTHON_CLASSES.update(CLASSES)
    return TIME_CODECS[kind]


def check_value(function: str, parameter: Parameter, value: object) -> None:
    """Raises TypeMappingError where a Python value, not None, is not of the declared type."""
    codec_of(parameter.type.kind).encode(function, parameter, value)


def decoder_of(type_: Type) -> Decoder:
    """Returns what reads values of a type."""
    return codec_of(type_.kind).decoder(type_)


# ---- Stored integers, floats and bytes ----


def _within(integer: int, smallest: int, largest: int) -> int:
    if not smallest <= integer <= largest:
        raise ValueError(f"{integer} is out of the range of the declared type")
    return integer


# ---- Kinds ----


def _encode_null(function: str, parameter: Parameter, value: object) -> int:
    raise wrong_value(function, parameter, value)


def _null_decoder(type_: Type) -> Decoder:
    return lambda data, offset: _within(1, 0, 0)


def _encode_bool(function: str, parameter: Parameter, value: object) -> int:
    numpy = sys.modules.get("numpy")
    if isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_)):
        return int(value)
    raise wrong_value(function, parameter, value)


def _bool_decoder(type_: Type) -> Decoder:
    return lambda data, offset: bool(_within(INTEGER.unpack_from(data, offset)[2], 0, 1))


def _encode_int(function: str, parameter: Parameter, value: Any) -> int:
    try:
        integer = int(operator.index(value))
    except TypeError:
        raise wrong_value(function, parameter, value) from None
    smallest, largest = parameter.type.integer_range
    if not smallest <= integer <= largest:
        from udfvm.types.conversions import short

        raise argument_error(
            function, parameter, f"is {short(integer)}, out of the range of {parameter.type}"
        )
    return integer


def _int_decoder(type_: Type) -> Decoder:
    smallest, largest = type_.integer_range
    return lambda data, offset: _within(INTEGER.unpack_from(data, offset)[2], smallest, largest)


def _encode_float(function: str, parameter: Parameter, value: object) -> float:
    if type(value) is float and parameter.type.name == "double":
        return value
    if not is_real(value):
        raise wrong_value(function, parameter, value)
    from udfvm.types.conversions import Loss, exact_float

    try:
        return exact_float(value, parameter.type.name)
    except Loss as loss:
        raise argument_error(
            function, parameter, f"cannot be {parameter.type} without loss: {loss}"
        ) from None


def _float_decoder(type_: Type) -> Decoder:
    return lambda data, offset: REAL.unpack_from(data, offset)[2]


def _encode_text(function: str, parameter: Parameter, value: object) -> bytes:
    if not isinstance(value, str):
        raise wrong_value(function, parameter, value)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        from udfvm.types.conversions import surrogate_of

        advice = "pass text.encode('utf-8', 'replace').decode()"
        raise argument_error(function, parameter, f"{surrogate_of(error)}: {advice}") from None


def _text_decoder(type_: Type) -> Decoder:
    if type_ == JSON:
        from udfvm.codec.json_values import json_value

        return lambda data, offset: json_value(bytes_at(data, offset).decode())
    return lambda data, offset: bytes_at(data, offset).decode()


def _encode_bytes(function: str, parameter: Parameter, value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_value(function, parameter, value)
    data, size = bytes(value), parameter.type.size
    if size is not None and len(data) != size:
        raise argument_error(
            function,
            parameter,
            f"has {counted(len(data), 'byte')} where {parameter.type} has {size}",
        )
    return data


def _bytes_decoder(type_: Type) -> Decoder:
    size = type_.size
    if size is None:
        return bytes_at

    def decode(data: bytes, offset: int) -> bytes:
        value = bytes_at(data, offset)
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes where {type_} is declared")
        return value

    return decode


def zero(type_: Type) -> float | bytes:
    """Returns what is stored of a zero, of midnight, of empty text."""
    if type_.kind is Kind.TIME:
        return b"00:00:00"
    if type_.kind is Kind.INTERVAL:
        return b"PT0S"
    if type_.kind is Kind.DECIMAL:
        return b"0"
    if type_.kind is Kind.BYTES:
        return bytes(type_.size or 0)
    return b"" if type_.row is RowType.TEXT else 0


_CODECS: Final = {
    Kind.NULL: ValueCodec(_encode_null, _encode_null, _null_decoder),
    Kind.BOOL: ValueCodec(_encode_bool, _encode_bool, _bool_decoder),
    Kind.INT: ValueCodec(_encode_int, _encode_int, _int_decoder),
    Kind.FLOAT: ValueCodec(_encode_float, _encode_float, _float_decoder),
    Kind.TEXT: ValueCodec(_encode_text, _encode_text, _text_decoder),
    Kind.BYTES: ValueCodec(_encode_bytes, _encode_bytes, _bytes_decoder),
    Kind.INTERVAL: ValueCodec(encode_interval, encode_interval, interval_decoder),
    Kind.DECIMAL: ValueCodec(encode_decimal, encode_decimal, decimal_decoder),
}
