"""Dates, times and durations as rows store them: see ``value_codecs``, which imports this for
functions that have such types.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

from udfvm.codec.argument_errors import argument_error, wrong_type, wrong_value
from udfvm.codec.stored_values import Decoder, NoPythonValueError, ValueCodec, integer_at
from udfvm.codec.text_codecs import bytes_at
from udfvm.layouts import INTEGER
from udfvm.types.arrow_types import Kind, Parameter, Type
from udfvm.types.conversions import Loss
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

#: Classes of the values.
CLASSES: Final = (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)
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


def _encode_date(function: str, parameter: Parameter, value: object) -> int:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise wrong_value(function, parameter, value)
    days = days_from_date(value)
    return days * DAY_MILLISECONDS if parameter.type.name == "date64[ms]" else days


def _date_decoder(type_: Type) -> Decoder:
    step = DAY_MILLISECONDS if type_.name == "date64[ms]" else 1

    def decode(data: bytes, offset: int) -> datetime.date:
        count = integer_at(data, offset)
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
        count = integer_at(data, offset)
        try:
            return timedelta_from_count(count, unit)
        except (Loss, OverflowError):
            raise NoPythonValueError(f"{count} {unit}") from None

    return decode


#: As ``value_codecs`` has them for other kinds.
TIME_CODECS: Final = {
    Kind.DATE: ValueCodec(_encode_date, _encode_date, _date_decoder),
    Kind.DATETIME: ValueCodec(_encode_datetime, _encode_python_datetime, _datetime_decoder),
    Kind.TIME: ValueCodec(_encode_time, _encode_time, _time_decoder),
    Kind.DURATION: ValueCodec(_encode_duration, _encode_python_duration, _duration_decoder),
}
