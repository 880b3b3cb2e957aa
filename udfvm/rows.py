"""Calls of one row: Python values to ``struct udfvm_row`` and back. See guest/include/udfvm_abi.h for the layout."""

from __future__ import annotations

import datetime
import numbers
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from udfvm.conversions import Loss, exact_float, short
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.types import Kind, Parameter, ResultType, RowType, Type

_ROW: Final = struct.Struct("<II")
_VALUE: Final = struct.Struct("<IIQ")
_INTEGER: Final = struct.Struct("<IIq")
_REAL: Final = struct.Struct("<IId")
_NULL_VALUE: Final = _INTEGER.pack(RowType.NULL, 0, 0)

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_EPOCH_DAYS: Final = _EPOCH.toordinal()
_DAY_MS: Final = 86_400_000
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_NUMBERS: Final = frozenset({int, float})
_EXACT: Final = 2**53                            # up to there every integer is a float
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


class RowCodec:
    """Rows of one signature. All of its types must have a row form (``Type.row``).

    Arguments must be Python values: None, bool, int, float, str, bytes, date, datetime, or others that stand for them.
    """

    def __init__(self, function: str, parameters: Sequence[Parameter], result: ResultType) -> None:
        self._function = function
        self._parameters = tuple(parameters)
        self._result = result
        self._refuses_null = tuple(not parameter.nullable for parameter in parameters)
        self._any_refuses_null = any(self._refuses_null)
        self._header = _ROW.pack(len(self._parameters), 0)
        self._encoders = tuple(_ENCODERS[parameter.type.kind] for parameter in parameters)
        # Where every argument is a number of its own type that struct can pack by itself, one pack() makes the row.
        self._fast = _fast_packer(self._parameters)
        self._plain = tuple(int if parameter.type.kind is Kind.INT else float for parameter in parameters)
        self._tags = tuple(_ROW.pack(parameter.type.row or 0, 0) for parameter in parameters)
        self._decode = _decoder(result.type)

    def is_null(self, arguments: Sequence[object]) -> bool:
        """Whether a null argument decides that the result is null."""
        if not self._any_refuses_null or None not in arguments:
            return False
        return any(argument is None and refuses for argument, refuses in zip(arguments, self._refuses_null, strict=True))

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """The payload of a ROW request. Raises TypeMappingError for an argument that is not of its declared type."""
        if self._fast is not None and self._are_numbers(arguments):
            try:
                return self._fast(self._header, self._tags, arguments)
            except struct.error:
                pass                             # an integer out of range: named below
        values = []
        texts = []
        position = len(self._header) + len(arguments) * _VALUE.size
        for parameter, encoder, argument in zip(self._parameters, self._encoders, arguments, strict=True):
            if argument is None:
                values.append(_NULL_VALUE)
                continue
            encoded = encoder(self._function, parameter, argument)
            if parameter.type.unit == "ns" and encoded % 1000:
                raise mapping_error(self._function, parameter, f"is {argument}: {WHOLE_MICROSECONDS}")
            if isinstance(encoded, bytes):
                values.append(_VALUE.pack(parameter.type.row or 0, len(encoded), position))
                texts.append(encoded)
                position += len(encoded)
            elif isinstance(encoded, float):
                values.append(_REAL.pack(RowType.FLOAT64, 0, encoded))
            else:
                values.append(_INTEGER.pack(parameter.type.row or 0, 0, encoded))
        return b"".join((self._header, *values, *texts))

    def _are_numbers(self, arguments: Sequence[Any]) -> bool:
        """Whether packing the arguments rounds none."""
        types = tuple(map(type, arguments))
        if types == self._plain:
            return True
        return _NUMBERS.issuperset(types) and all(-_EXACT <= argument <= _EXACT for argument in arguments if type(argument) is int)

    def decode(self, reply: bytes) -> object:
        """The value in the reply to a ROW request, which is the guest's word: all of it is checked. Raises ProtocolError."""
        try:
            type_, length, _ = _VALUE.unpack_from(reply)
            if type_ == RowType.NULL:
                return None
            if type_ != self._result.type.row:
                raise ValueError(f"a value of type {type_} where {self._result.type} is declared")
            return self._decode(reply, length)
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(f"UDF {self._function!r}: the guest's reply is not valid: {error}") from error

    def default(self) -> bytes:
        """A row of zeros and empty strings: something of the right shape, to warm up with."""
        count = len(self._parameters)
        end = len(self._header) + count * _VALUE.size
        offsets = [end if parameter.type.row in (RowType.TEXT, RowType.BLOB) else 0 for parameter in self._parameters]
        values = [_VALUE.pack(parameter.type.row or 0, 0, offset) for parameter, offset in zip(self._parameters, offsets, strict=True)]
        return b"".join((self._header, *values))


_FastPacker = Callable[[bytes, tuple[bytes, ...], Sequence[Any]], bytes]


def _fast_packer(parameters: tuple[Parameter, ...]) -> _FastPacker | None:
    formats = {"int64": "q", "double": "d"}
    if not all(parameter.type.name in formats for parameter in parameters):
        return None
    pack = struct.Struct("<8s" + "".join("8s" + formats[parameter.type.name] for parameter in parameters)).pack
    match len(parameters):
        case 0:
            return lambda header, tags, arguments: pack(header)
        case 1:
            return lambda header, tags, arguments: pack(header, tags[0], arguments[0])
        case 2:
            return lambda header, tags, arguments: pack(header, tags[0], arguments[0], tags[1], arguments[1])
        case 3:
            return lambda header, tags, arguments: pack(
                header, tags[0], arguments[0], tags[1], arguments[1], tags[2], arguments[2]
            )
    return lambda header, tags, arguments: pack(header, *(part for pair in zip(tags, arguments, strict=True) for part in pair))


def decode_row(payload: bytes, parameters: Sequence[Parameter]) -> list[Any]:
    """The values of a ``struct udfvm_row`` that a guest wrote. The parameters have types that rows have.

    Raises ValueError, OverflowError or struct.error for what is not valid.
    """
    count, _ = _ROW.unpack_from(payload)
    if count != len(parameters):
        raise ValueError(f"{count} values for {len(parameters)} parameters")
    values: list[Any] = []
    for index, parameter in enumerate(parameters):
        value = payload[_ROW.size + index * _VALUE.size :][: _VALUE.size]
        type_, length, offset = _VALUE.unpack(value)
        if type_ == RowType.NULL:
            values.append(None)
            continue
        if type_ != parameter.type.row:
            raise ValueError(f"a value of type {type_} where {parameter.type} is declared")
        if type_ in (RowType.TEXT, RowType.BLOB):
            if offset > len(payload) or length > len(payload) - offset:
                raise ValueError("bytes outside of the row")
            text = payload[offset : offset + length]
            values.append(text.decode() if type_ == RowType.TEXT else text)
        else:
            values.append(_decoder(parameter.type)(value, 0))
    return values


def encode_value(function: str, parameter: Parameter, value: object) -> bytes:
    """A ``struct udfvm_value`` and its bytes. Raises TypeMappingError for a value that is not of the type."""
    if value is None:
        return _NULL_VALUE
    encoded = _ENCODERS[parameter.type.kind](function, parameter, value)
    if isinstance(encoded, bytes):
        return _VALUE.pack(parameter.type.row or 0, len(encoded), _VALUE.size) + encoded
    return (_REAL if isinstance(encoded, float) else _INTEGER).pack(parameter.type.row or 0, 0, encoded)


# ---- Arguments ----


WHOLE_MICROSECONDS: Final = "datetime.datetime, which scalar functions take, has whole microseconds: use a vectorised function"


def wrong_argument(function: str, parameter: Parameter, found: str) -> TypeMappingError:
    """The error for an argument that is not of its declared type."""
    return mapping_error(
        function, parameter, f"is declared {parameter.type}, which takes {parameter.type.kind.value}; got {found}"
    )


def _found(value: object) -> str:
    """What a value is that is not of its declared type."""
    if isinstance(value, float) and value != value:          # noqa: PLR0124 - so NaN is known
        return "nan, which is a float: put None where a value is missing"
    return type(value).__name__


def mapping_error(function: str, parameter: Parameter, what: str, row: int | None = None) -> TypeMappingError:
    """An error about an argument, and where it is known a row of it, with what is the matter with it."""
    position = f" (position {parameter.position})" if parameter.position else ""
    at = "" if row is None else f", row {row}:"
    error = TypeMappingError(f"UDF {function!r}: argument {parameter.name!r}{position}{at} {what}")
    error.argument, error.position, error.row, error.reason = parameter.name, parameter.position or None, row, what
    return error


def _bool(function: str, parameter: Parameter, value: object) -> int:
    numpy = sys.modules.get("numpy")
    if isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_)):
        return int(value)
    raise wrong_argument(function, parameter, _found(value))


def _int(function: str, parameter: Parameter, value: Any) -> int:
    try:
        integer = int(operator.index(value))
    except TypeError:
        raise wrong_argument(function, parameter, _found(value)) from None
    smallest, largest = parameter.type.integer_range
    if not smallest <= integer <= largest:
        raise mapping_error(function, parameter, f"is {short(integer)}, out of the range of {parameter.type}")
    return integer


def _float(function: str, parameter: Parameter, value: object) -> float:
    if type(value) is float and parameter.type.name == "double":
        return value
    if not isinstance(value, numbers.Real):
        raise wrong_argument(function, parameter, _found(value))
    try:
        return exact_float(value, parameter.type.name)
    except Loss as loss:
        raise mapping_error(function, parameter, f"cannot be {parameter.type} without loss: {loss}") from None


def _text(function: str, parameter: Parameter, value: object) -> bytes:
    if not isinstance(value, str):
        raise wrong_argument(function, parameter, _found(value))
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise mapping_error(function, parameter, f"is not valid Unicode: {error}") from None


def _bytes(function: str, parameter: Parameter, value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise wrong_argument(function, parameter, _found(value))


def _date(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise wrong_argument(function, parameter, _found(value))
    days = value.toordinal() - _EPOCH_DAYS
    return days * _DAY_MS if parameter.type.name == "date64[ms]" else days


def _datetime(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.datetime):
        raise wrong_argument(function, parameter, _found(value))
    aware = value.utcoffset() is not None
    if aware != (parameter.type.timezone is not None):
        raise wrong_argument(function, parameter, f"{'an aware' if aware else 'a naive'} datetime")
    if aware:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    microseconds = (value - _EPOCH) // _MICROSECOND
    nanoseconds: int = getattr(value, "nanosecond", 0)       # of pandas' Timestamp
    unit = parameter.type.unit
    if unit == "ns":
        count = microseconds * 1000 + nanoseconds
        if not -(2**63) <= count < 2**63:
            raise mapping_error(function, parameter, f"is {value}, out of the range of {parameter.type}")
        return count
    step = _MICROSECONDS[unit or "us"]
    if microseconds % step or nanoseconds:
        raise mapping_error(function, parameter, f"is {value}, no whole number of {unit}")
    return microseconds // step


def _null(function: str, parameter: Parameter, value: object) -> int:
    raise wrong_argument(function, parameter, _found(value))


_ENCODERS: Final[dict[Kind, Callable[[str, Parameter, Any], int | float | bytes]]] = {
    Kind.NULL: _null,
    Kind.BOOL: _bool,
    Kind.INT: _int,
    Kind.FLOAT: _float,
    Kind.TEXT: _text,
    Kind.BYTES: _bytes,
    Kind.DATE: _date,
    Kind.DATETIME: _datetime,
}


def check_argument(function: str, parameter: Parameter, value: object) -> None:
    """Raises TypeMappingError where a Python value, not None, is not of the declared type."""
    _ENCODERS[parameter.type.kind](function, parameter, value)


# ---- Results ----


def _decoder(type_: Type) -> Callable[[bytes, int], object]:
    """What reads a value of the type from a reply: (reply, length of its bytes). It raises ValueError for what is not valid."""
    if type_.kind is Kind.FLOAT:
        return lambda reply, length: _REAL.unpack_from(reply)[2]
    if type_.kind is Kind.TEXT:
        return lambda reply, length: _reply_bytes(reply, length).decode()
    if type_.kind is Kind.BYTES:
        return _reply_bytes
    if type_.kind is Kind.BOOL:
        return lambda reply, length: bool(_within(_reply_integer(reply), 0, 1))
    if type_.kind is Kind.DATE:
        if type_.name == "date64[ms]":
            return lambda reply, length: datetime.date.fromordinal(_reply_integer(reply) // _DAY_MS + _EPOCH_DAYS)
        return lambda reply, length: datetime.date.fromordinal(_reply_integer(reply) + _EPOCH_DAYS)
    if type_.kind is Kind.DATETIME:
        return _datetime_decoder(type_)
    if type_.kind is Kind.NULL:
        return lambda reply, length: _within(1, 0, 0)
    smallest, largest = type_.integer_range
    return lambda reply, length: _within(_reply_integer(reply), smallest, largest)


def _reply_integer(reply: bytes) -> int:
    integer: int = _INTEGER.unpack_from(reply)[2]
    return integer


def _reply_bytes(reply: bytes, length: int) -> bytes:
    offset: int = _VALUE.unpack_from(reply)[2]
    if offset > len(reply) or length > len(reply) - offset:
        raise ValueError("bytes outside of the reply")
    return reply[offset : offset + length]


def _within(integer: int, smallest: int, largest: int) -> int:
    if not smallest <= integer <= largest:
        raise ValueError(f"{integer} is out of the range of the declared type")
    return integer


def _datetime_decoder(type_: Type) -> Callable[[bytes, int], datetime.datetime]:
    zone = None if type_.timezone is None else time_zone(type_.timezone)
    unit = type_.unit or "us"

    def decode(reply: bytes, length: int) -> datetime.datetime:
        count = _reply_integer(reply)
        if unit == "ns" and count % 1000:
            raise ValueError(f"{count} ns is no whole number of microseconds, as datetime.datetime has them")
        microseconds = count // 1000 if unit == "ns" else count * _MICROSECONDS[unit]
        moment = _EPOCH + datetime.timedelta(microseconds=microseconds)
        return moment if zone is None else moment.replace(tzinfo=datetime.UTC).astimezone(zone)

    return decode


def time_zone(name: str) -> datetime.tzinfo:
    """The zone of an Arrow timestamp: a name of the time zone database, or an offset such as ``+05:30``."""
    if name == "UTC":
        return datetime.UTC
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        return datetime.timezone(-offset if name[0] == "-" else offset)
    import zoneinfo

    return zoneinfo.ZoneInfo(name)


