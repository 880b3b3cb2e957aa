"""Calls of one row: Python values to ``struct udfvm_row`` and back. See guest/include/udfvm_abi.h
for the layout.
"""

from __future__ import annotations

import datetime
import itertools
import numbers
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from udfvm.codec.json_values import json_value
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.types.arrow_types import JSON, Kind, Parameter, ResultType, RowType, Type
from udfvm.types.conversions import Loss, exact_float, short

_ROW: Final = struct.Struct("<II")
_VALUE: Final = struct.Struct("<IIQ")
_INTEGER: Final = struct.Struct("<IIq")
_REAL: Final = struct.Struct("<IId")
_NULL_VALUE: Final = _INTEGER.pack(RowType.NULL, 0, 0)

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_EPOCH_DAYS: Final = _EPOCH.toordinal()
_DAY_MS: Final = 86_400_000
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_EXACT: Final = 2**53  # up to there every integer is a float
_MIDDLE: Final = (2, 9998)  # years whose times every zone has
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


class RowCodec:
    """Rows of one signature. All of its types must have a row form (``Type.row``).

    Arguments must be Python values: None, bool, int, float, str, bytes, date, datetime, or others
    that stand for them.
    """

    def __init__(self, function: str, parameters: Sequence[Parameter], result: ResultType) -> None:
        self._function = function
        self._parameters = tuple(parameters)
        self._result = result
        self._refuses_null = tuple(not parameter.nullable for parameter in parameters)
        self._any_refuses_null = any(self._refuses_null)
        self._header = _ROW.pack(len(self._parameters), 0)
        self._encoders = tuple(_ENCODERS[parameter.type.kind] for parameter in parameters)
        self._packed = _packer(self._parameters)
        self._decode = _decoder(result.type)
        # The payload of a ROW request. Raises TypeMappingError for an argument that is not of its
        # declared type.
        self.encode: Final[Callable[[Sequence[Any]], bytes]] = _fast_encoder(
            self._parameters, self._encode
        )

    def is_null(self, arguments: Sequence[object]) -> bool:
        """Whether a null argument decides that the result is null."""
        if not self._any_refuses_null or None not in arguments:
            return False
        return any(
            argument is None and refuses
            for argument, refuses in zip(arguments, self._refuses_null, strict=True)
        )

    def _encode(self, arguments: Sequence[Any]) -> bytes:
        """The same for any arguments."""
        if self._packed is not None and _are_exact(arguments):
            try:
                return self._packed(arguments)
            except struct.error:
                pass  # an integer out of range: named below
        values = []
        texts = []
        position = len(self._header) + len(arguments) * _VALUE.size
        for parameter, encoder, argument in zip(
            self._parameters, self._encoders, arguments, strict=True
        ):
            if argument is None:
                values.append(_NULL_VALUE)
                continue
            encoded = encoder(self._function, parameter, argument)
            if parameter.type.kind is Kind.DATETIME:
                _check_moment(self._function, parameter, argument, int(encoded))
            if isinstance(encoded, bytes):
                values.append(_VALUE.pack(parameter.type.row or 0, len(encoded), position))
                texts.append(encoded)
                position += len(encoded)
            elif isinstance(encoded, float):
                values.append(_REAL.pack(RowType.FLOAT64, 0, encoded))
            else:
                values.append(_INTEGER.pack(parameter.type.row or 0, 0, encoded))
        return b"".join((self._header, *values, *texts))

    def decode(self, reply: bytes) -> object:
        """The value in the reply to a ROW request, which is the guest's word: all of it is checked.
        Raises ProtocolError; TypeMappingError for a date or time that Python has not.
        """
        try:
            type_, length, _ = _VALUE.unpack_from(reply)
            if type_ == RowType.NULL:
                return None
            if type_ != self._result.type.row:
                raise ValueError(f"a value of type {type_} where {self._result.type} is declared")
            return self._decode(reply, length)
        except _NotHeldError as error:
            what = (
                f"the result is a {self._result.type} that Python cannot hold: {error}; Arrow can:"
                " ask for arrays"
            )
            raise TypeMappingError(f"UDF {self._function!r}: {what}") from error
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(
                f"UDF {self._function!r}: the guest's reply is not valid: {error}"
            ) from error

    def default(self) -> bytes:
        """A row of zeros and empty strings: something of the right shape, to warm up with."""
        count = len(self._parameters)
        end = len(self._header) + count * _VALUE.size
        offsets = [
            end if parameter.type.row in (RowType.TEXT, RowType.BLOB) else 0
            for parameter in self._parameters
        ]
        values = [
            _VALUE.pack(parameter.type.row or 0, 0, offset)
            for parameter, offset in zip(self._parameters, offsets, strict=True)
        ]
        return b"".join((self._header, *values))


_Encoder = Callable[[Sequence[Any]], bytes]
_FORMATS: Final = {"int64": "q", "double": "d"}


def _are_exact(arguments: Sequence[Any]) -> bool:
    """Whether all are numbers that packing as floats rounds none of."""
    for argument in arguments:
        kind = type(argument)
        if kind is not float and (kind is not int or not -_EXACT <= argument <= _EXACT):
            return False
    return True


def _packer(parameters: tuple[Parameter, ...]) -> _Encoder | None:
    """What makes a row of numbers in one pack(), which raises struct.error for what is no number of
    its type; None for other types.
    """
    if not all(parameter.type.name in _FORMATS for parameter in parameters):
        return None
    if not parameters:
        return lambda arguments: _ROW.pack(0, 0)
    pack, heads = _row_format(parameters)
    return lambda arguments: pack(
        *itertools.chain.from_iterable(zip(heads, arguments, strict=True))
    )


def _row_format(
    parameters: tuple[Parameter, ...],
) -> tuple[Callable[..., bytes], tuple[bytes, ...]]:
    """What packs a row of numbers, from what stands before each of them and the numbers, in
    turn.
    """
    heads = [_ROW.pack(parameter.type.row or 0, 0) for parameter in parameters]
    heads[0] = _ROW.pack(len(parameters), 0) + heads[0]
    layout = "".join(
        f"{len(head)}s{_FORMATS[each.type.name]}"
        for head, each in zip(heads, parameters, strict=True)
    )
    return struct.Struct("<" + layout).pack, tuple(heads)


def _fast_encoder(parameters: tuple[Parameter, ...], encode: _Encoder) -> _Encoder:
    """Where every argument is a number of its parameter's own type, one pack() makes the row, with
    as little code as that takes, for the usual numbers of parameters without a loop. All others are
    left to ``encode``.
    """
    if not parameters or not all(parameter.type.name in _FORMATS for parameter in parameters):
        return encode
    pack, heads = _row_format(parameters)
    kinds = tuple(int if parameter.type.kind is Kind.INT else float for parameter in parameters)
    head, middle_head, last_head = heads[0], heads[len(heads) // 2], heads[-1]
    kind, middle_kind, last_kind = kinds[0], kinds[len(kinds) // 2], kinds[-1]

    def one(arguments: Sequence[Any]) -> bytes:
        (value,) = arguments
        if type(value) is kind:
            try:
                return pack(head, value)
            except struct.error:
                pass  # an integer out of range
        return encode(arguments)

    def two(arguments: Sequence[Any]) -> bytes:
        first, second = arguments
        if type(first) is kind and type(second) is last_kind:
            try:
                return pack(head, first, last_head, second)
            except struct.error:
                pass
        return encode(arguments)

    def three(arguments: Sequence[Any]) -> bytes:
        first, second, third = arguments
        if type(first) is kind and type(second) is middle_kind and type(third) is last_kind:
            try:
                return pack(head, first, middle_head, second, last_head, third)
            except struct.error:
                pass
        return encode(arguments)

    def many(arguments: Sequence[Any]) -> bytes:
        if tuple(map(type, arguments)) == kinds:
            try:
                return pack(*itertools.chain.from_iterable(zip(heads, arguments, strict=True)))
            except struct.error:
                pass
        return encode(arguments)

    return {1: one, 2: two, 3: three}.get(len(parameters), many)


def decode_row(payload: bytes, parameters: Sequence[Parameter]) -> list[Any]:
    """The values of a ``struct udfvm_row`` that a guest wrote. The parameters have types that rows
    have.

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
    """A ``struct udfvm_value`` and its bytes. Raises TypeMappingError for a value that is not of
    the type.
    """
    if value is None:
        return _NULL_VALUE
    encoded = _ENCODERS[parameter.type.kind](function, parameter, value)
    if isinstance(encoded, bytes):
        return _VALUE.pack(parameter.type.row or 0, len(encoded), _VALUE.size) + encoded
    return (_REAL if isinstance(encoded, float) else _INTEGER).pack(
        parameter.type.row or 0, 0, encoded
    )


# ---- Arguments ----


_YEARS: Final = "it is beyond the years 1 to 9999, which datetime.datetime has"
WHOLE_MICROSECONDS: Final = (
    "datetime.datetime, which scalar functions take, has whole microseconds: use a vectorised"
    " function"
)


def wrong_argument(function: str, parameter: Parameter, found: str) -> TypeMappingError:
    """The error for an argument that is not of its declared type."""
    return mapping_error(
        function,
        parameter,
        f"is declared {parameter.type}, which takes {parameter.type.kind.value}; got {found}",
    )


def _found(value: object) -> str:
    """What a value is that is not of its declared type."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - so NaN is known
        return (
            "nan, which is a float: put None where a value is missing, as pyarrow.array(series)"
            " does for pandas"
        )
    return type(value).__name__


def mapping_error(
    function: str, parameter: Parameter, what: str, row: int | None = None
) -> TypeMappingError:
    """An error about an argument, and where it is known a row of it, with what is the matter with
    it.
    """
    position = f" (position {parameter.position})" if parameter.position else ""
    at = "" if row is None else f", row {row}:"
    error = TypeMappingError(f"UDF {function!r}: argument {parameter.name!r}{position}{at} {what}")
    error.argument, error.position, error.row, error.reason = (
        parameter.name,
        parameter.position or None,
        row,
        what,
    )
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
        raise mapping_error(
            function, parameter, f"is {short(integer)}, out of the range of {parameter.type}"
        )
    return integer


def _float(function: str, parameter: Parameter, value: object) -> float:
    if type(value) is float and parameter.type.name == "double":
        return value
    if not isinstance(value, numbers.Real):
        raise wrong_argument(function, parameter, _found(value))
    try:
        return exact_float(value, parameter.type.name)
    except Loss as loss:
        raise mapping_error(
            function, parameter, f"cannot be {parameter.type} without loss: {loss}"
        ) from None


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
        try:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        except OverflowError:
            raise mapping_error(function, parameter, f"is {value}: in UTC, {_YEARS}") from None
    microseconds = (value - _EPOCH) // _MICROSECOND
    nanoseconds: int = getattr(value, "nanosecond", 0)  # of pandas' Timestamp
    unit = parameter.type.unit
    if unit == "ns":
        count = microseconds * 1000 + nanoseconds
        if not -(2**63) <= count < 2**63:
            raise mapping_error(
                function, parameter, f"is {value}, out of the range of {parameter.type}"
            )
        return count
    step = _MICROSECONDS[unit or "us"]
    if microseconds % step or nanoseconds:
        raise mapping_error(function, parameter, f"is {value}, no whole number of {unit}")
    return microseconds // step


def _check_moment(
    function: str, parameter: Parameter, value: datetime.datetime, count: int
) -> None:
    """Raises TypeMappingError where a time, of so many units, has more digits than scalar functions
    get, or is beyond the ends of the calendar in UTC or in the zone of the parameter: they are
    elsewhere in each zone, and pandas' Timestamp goes on behind them.
    """
    if parameter.type.unit == "ns" and count % 1000:
        raise mapping_error(function, parameter, f"is {value}: {WHOLE_MICROSECONDS}")
    if _MIDDLE[0] <= value.year <= _MIDDLE[1]:
        return
    try:
        parts = (
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
        )
        plain = datetime.datetime(*parts, tzinfo=value.tzinfo)
        if parameter.type.timezone is not None:
            plain.astimezone(datetime.UTC).astimezone(time_zone(parameter.type.timezone))
    except (OverflowError, ValueError):
        raise mapping_error(
            function, parameter, f"is {value}: as {parameter.type}, {_YEARS}"
        ) from None


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
    """What reads a value of the type from a reply: (reply, length of its bytes). It raises
    ValueError for what is not valid.
    """
    if type_.kind is Kind.FLOAT:
        return lambda reply, length: _REAL.unpack_from(reply)[2]
    if type_ == JSON:
        return lambda reply, length: json_value(_reply_bytes(reply, length).decode())
    if type_.kind is Kind.TEXT:
        return lambda reply, length: _reply_bytes(reply, length).decode()
    if type_.kind is Kind.BYTES:
        return _reply_bytes
    if type_.kind is Kind.BOOL:
        return lambda reply, length: bool(_within(_reply_integer(reply), 0, 1))
    if type_.kind is Kind.DATE:
        step = _DAY_MS if type_.name == "date64[ms]" else 1
        return lambda reply, length: _date_from(_reply_integer(reply), step)
    if type_.kind is Kind.DATETIME:
        return _datetime_decoder(type_)
    if type_.kind is Kind.NULL:
        return lambda reply, length: _within(1, 0, 0)
    smallest, largest = type_.integer_range
    return lambda reply, length: _within(_reply_integer(reply), smallest, largest)


class _NotHeldError(ValueError):
    """A value that its type has, and Python has not."""


def _date_from(count: int, step: int) -> datetime.date:
    days, rest = divmod(count, step)
    if rest or (step == 1 and not -(2**31) <= days < 2**31):
        raise ValueError(f"{count} is no date")
    try:
        return datetime.date.fromordinal(days + _EPOCH_DAYS)
    except (ValueError, OverflowError):
        raise _NotHeldError(f"{days} days since 1970") from None


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
            raise _NotHeldError(f"{count} ns since 1970 is no whole number of microseconds")
        microseconds = count // 1000 if unit == "ns" else count * _MICROSECONDS[unit]
        try:
            moment = _EPOCH + datetime.timedelta(microseconds=microseconds)
            return moment if zone is None else moment.replace(tzinfo=datetime.UTC).astimezone(zone)
        except OverflowError:
            raise _NotHeldError(f"{count} {unit} since 1970") from None

    return decode


def time_zone(name: str) -> datetime.tzinfo:
    """The zone of an Arrow timestamp: a name of the time zone database, or an offset such as
    ``+05:30``.
    """
    if name == "UTC":
        return datetime.UTC
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        return datetime.timezone(-offset if name[0] == "-" else offset)
    import zoneinfo

    return zoneinfo.ZoneInfo(name)
