"""Single values: Python's objects as rows store them, and back, for each kind of type.

``VALUE_CODECS`` is the one table: a new kind of type is an entry of it. What is stored is an
integer, a float or bytes; ``udfvm.layouts`` has where it lies. Guests have the same table in
guest/runtimes/python/_udfvm_value_types.py.
"""

from __future__ import annotations

import datetime
import operator
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from udfvm.checks import is_real
from udfvm.codec.argument_errors import argument_error, wrong_type, wrong_value
from udfvm.codec.json_values import json_value
from udfvm.codec.text_codecs import (
    bytes_at,
    decimal_decoder,
    encode_decimal,
    encode_interval,
    interval_decoder,
)
from udfvm.layouts import INTEGER, REAL
from udfvm.types.arrow_types import JSON, Kind, Parameter, RowType, Type
from udfvm.types.conversions import Loss, exact_float, short, surrogate_of
from udfvm.types.temporal import (
    DAY_MILLISECONDS,
    count_from_datetime,
    count_from_timedelta,
    date_from_days,
    datetime_reader,
    days_from_date,
    in_utc,
    text_from_time,
    time_from_text,
    time_zone,
    timedelta_from_count,
)

#: Makes what is stored of a value that is not None: (name of the function, parameter, value).
#: Raises TypeMappingError.
Encoder = Callable[[str, Parameter, Any], int | float | bytes]
#: Makes a value of what a guest stored: (a row or reply, the offset of the value in it). Raises
#: ValueError, OverflowError or struct.error for what is not valid.
Decoder = Callable[[bytes, int], object]

#: Classes whose instances, and None, are looked at by encoders alone: nothing else stands for null
#: among them, and none is an array.
PYTHON_CLASSES: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
    }
)
WHOLE_MICROSECONDS: Final = (
    "datetime.datetime, which scalar functions take, has whole microseconds: use a vectorised"
    " function"
)
_YEARS: Final = "it is beyond the years 1 to 9999, which datetime.datetime has"
_AWARE: Final = (
    "an aware datetime: pass moment.astimezone(datetime.UTC).replace(tzinfo=None), or declare a"
    " time zone, as timestamp[us, tz=UTC] has one"
)
_NAIVE: Final = "a naive datetime: pass moment.replace(tzinfo=...) with the zone that it is in"
_EARLIEST_IN_ALL_ZONES, _LATEST_IN_ALL_ZONES = 2, 9998  # years whose times every zone has


class NoPythonValueError(ValueError):
    """A value that its type has, and Python has not."""


class ValueCodec(NamedTuple):
    """The values of one kind of type.

    Attributes:
        encode: for columns, which take every value of the type.
        encode_argument: for scalar functions, which take the values that Python has too.
        decoder: makes a decoder for a type of the kind.
    """

    encode: Encoder
    encode_argument: Encoder
    decoder: Callable[[Type], Decoder]


def check_value(function: str, parameter: Parameter, value: object) -> None:
    """Raises TypeMappingError where a Python value, not None, is not of the declared type."""
    VALUE_CODECS[parameter.type.kind].encode(function, parameter, value)


def decoder_of(type_: Type) -> Decoder:
    """Returns what reads values of a type."""
    return VALUE_CODECS[type_.kind].decoder(type_)


# ---- Stored integers, floats and bytes ----


def _integer_at(data: bytes, offset: int) -> int:
    integer: int = INTEGER.unpack_from(data, offset)[2]
    return integer


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
        advice = "pass text.encode('utf-8', 'replace').decode()"
        raise argument_error(function, parameter, f"{surrogate_of(error)}: {advice}") from None


def _text_decoder(type_: Type) -> Decoder:
    if type_ == JSON:
        return lambda data, offset: json_value(bytes_at(data, offset).decode())
    return lambda data, offset: bytes_at(data, offset).decode()


def _encode_bytes(function: str, parameter: Parameter, value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_value(function, parameter, value)
    data, size = bytes(value), parameter.type.size
    if size is not None and len(data) != size:
        raise argument_error(
            function, parameter, f"has {len(data)} bytes where {parameter.type} has {size}"
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


def _encode_date(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise wrong_value(function, parameter, value)
    days = days_from_date(value)
    return days * DAY_MILLISECONDS if parameter.type.name == "date64[ms]" else days


def _date_decoder(type_: Type) -> Decoder:
    step = DAY_MILLISECONDS if type_.name == "date64[ms]" else 1

    def decode(data: bytes, offset: int) -> datetime.date:
        count = _integer_at(data, offset)
        days, rest = divmod(count, step)
        if rest or (step == 1 and not -(2**31) <= days < 2**31):
            raise ValueError(f"{count} is not a date")
        try:
            return date_from_days(days)
        except (ValueError, OverflowError):
            raise NoPythonValueError(f"{days} days since 1970") from None

    return decode


def _encode_datetime(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.datetime):
        raise wrong_value(function, parameter, value)
    aware = value.utcoffset() is not None
    if aware != (parameter.type.timezone is not None):
        raise wrong_type(function, parameter, _AWARE if aware else _NAIVE)
    if aware:
        try:
            value = in_utc(value)
        except OverflowError:
            raise argument_error(function, parameter, f"is {value}: in UTC, {_YEARS}") from None
    try:
        count = count_from_datetime(value, parameter.type.unit or "us")
    except Loss as loss:
        raise argument_error(function, parameter, f"is {value}, {loss}") from None
    if not -(2**63) <= count < 2**63:
        raise argument_error(
            function, parameter, f"is {value}, out of the range of {parameter.type}"
        )
    return count


def _encode_python_datetime(function: str, parameter: Parameter, value: Any) -> int:
    """Returns a time that has no more digits than scalar functions get, and is within the calendar
    in UTC and in the zone of the parameter: its ends are elsewhere in each zone, and pandas'
    Timestamp goes on behind them.
    """
    count = _encode_datetime(function, parameter, value)
    if parameter.type.unit == "ns" and count % 1000:
        raise argument_error(function, parameter, f"is {value}: {WHOLE_MICROSECONDS}")
    if _EARLIEST_IN_ALL_ZONES <= value.year <= _LATEST_IN_ALL_ZONES:
        return count
    try:
        date = value.year, value.month, value.day
        time = value.hour, value.minute, value.second, value.microsecond
        moment = datetime.datetime(*date, *time, tzinfo=value.tzinfo)
        if parameter.type.timezone is not None:
            moment.astimezone(datetime.UTC).astimezone(time_zone(parameter.type.timezone))
    except (OverflowError, ValueError):
        raise argument_error(
            function, parameter, f"is {value}: as {parameter.type}, {_YEARS}"
        ) from None
    return count


def _datetime_decoder(type_: Type) -> Decoder:
    unit = type_.unit or "us"
    read = datetime_reader(unit, type_.timezone)

    def decode(data: bytes, offset: int) -> datetime.datetime:
        count = INTEGER.unpack_from(data, offset)[2]
        try:
            return read(count)
        except Loss as loss:
            raise NoPythonValueError(str(loss)) from None
        except OverflowError:
            raise NoPythonValueError(f"{count} {unit} since 1970") from None

    return decode


def _encode_time(function: str, parameter: Parameter, value: object) -> bytes:
    if not isinstance(value, datetime.time):
        raise wrong_value(function, parameter, value)
    try:
        return text_from_time(value, parameter.type.unit or "us").encode()
    except Loss as loss:
        raise argument_error(function, parameter, f"is {value}, {loss}") from None


def _time_decoder(type_: Type) -> Decoder:
    unit = type_.unit or "us"

    def decode(data: bytes, offset: int) -> datetime.time:
        try:
            return time_from_text(bytes_at(data, offset).decode(), unit)
        except Loss as loss:
            if unit != "ns":
                raise
            raise NoPythonValueError(str(loss)) from None

    return decode


def _encode_duration(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.timedelta):
        raise wrong_value(function, parameter, value)
    try:
        return count_from_timedelta(value, parameter.type.unit or "us")
    except Loss as loss:
        raise argument_error(function, parameter, f"is {value}, {loss}") from None


def _encode_python_duration(function: str, parameter: Parameter, value: Any) -> int:
    count = _encode_duration(function, parameter, value)
    if parameter.type.unit == "ns" and count % 1000:
        raise argument_error(function, parameter, f"is {value}: {WHOLE_MICROSECONDS}")
    return count


def _duration_decoder(type_: Type) -> Decoder:
    unit = type_.unit or "us"

    def decode(data: bytes, offset: int) -> datetime.timedelta:
        count = _integer_at(data, offset)
        try:
            return timedelta_from_count(count, unit)
        except (Loss, OverflowError):
            raise NoPythonValueError(f"{count} {unit}") from None

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


VALUE_CODECS: Final = {
    Kind.NULL: ValueCodec(_encode_null, _encode_null, _null_decoder),
    Kind.BOOL: ValueCodec(_encode_bool, _encode_bool, _bool_decoder),
    Kind.INT: ValueCodec(_encode_int, _encode_int, _int_decoder),
    Kind.FLOAT: ValueCodec(_encode_float, _encode_float, _float_decoder),
    Kind.TEXT: ValueCodec(_encode_text, _encode_text, _text_decoder),
    Kind.BYTES: ValueCodec(_encode_bytes, _encode_bytes, _bytes_decoder),
    Kind.DATE: ValueCodec(_encode_date, _encode_date, _date_decoder),
    Kind.DATETIME: ValueCodec(_encode_datetime, _encode_python_datetime, _datetime_decoder),
    Kind.TIME: ValueCodec(_encode_time, _encode_time, _time_decoder),
    Kind.DURATION: ValueCodec(_encode_duration, _encode_python_duration, _duration_decoder),
    Kind.INTERVAL: ValueCodec(encode_interval, encode_interval, interval_decoder),
    Kind.DECIMAL: ValueCodec(encode_decimal, encode_decimal, decimal_decoder),
}
