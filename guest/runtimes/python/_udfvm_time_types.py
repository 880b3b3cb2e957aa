"""Dates, timestamps, times of day and durations: see _udfvm_value_types."""

from __future__ import annotations

import datetime
import functools
import re
import zoneinfo  # noqa: F401 - for the base image: _udfvm_temporal imports it where a type has a zone
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
from _udfvm_conversions import Loss, is_missing
from _udfvm_numpy_times import is_numpy_time, numpy_count, times_by
from _udfvm_temporal import (
    DAY_MILLISECONDS,
    MICROSECONDS,
    count_from_datetime,
    count_from_timedelta,
    date_from_days,
    datetime_reader,
    days_from_date,
    duration_from_text,
    in_utc,
    text_from_time,
    time_from_text,
    timedelta_from_count,
)
from _udfvm_time_names import duration_unit, time_unit, timestamp_parts
from _udfvm_value_type import Converter, ValueType, checked_by, expect, wrong_result

_NANOSECONDS: Final = re.compile(r"[.,]\d{6}\d*[1-9]")  # in the text of a time


def date_type(name: str) -> ValueType:
    encode: Converter = _encode_date
    decode: Converter = date_from_days
    if name == "date64[ms]":
        encode, decode = _milliseconds_from_date, _date_from_milliseconds
    return _stored_by(encode, _date_from_json, decode)


def _stored_by(encode: Converter, from_json: Converter, decode: Converter) -> ValueType:
    """Returns a type whose values numpy has as scalars, too."""
    in_json = times_by(encode, decode, strict=True)
    return ValueType(encode, times_by(encode, decode), from_json, decode=decode, in_json=in_json)


def _encode_date(value: object) -> int | None:
    if is_missing(value):
        return None
    if is_numpy_time(value, "datetime64", "D"):
        return numpy_count(value, "D")
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        is_moment = isinstance(value, datetime.datetime)
        raise wrong_result(value, "datetime.date", "return its .date()" if is_moment else "")
    return days_from_date(value)


def _milliseconds_from_date(value: object) -> int | None:
    if is_numpy_time(value, "datetime64", "ms"):  # numpy has these dates as such times
        count = numpy_count(value, "ms")
        if count is None or count % DAY_MILLISECONDS == 0:
            return count
    days = _encode_date(value)
    return None if days is None else days * DAY_MILLISECONDS


def _date_from_milliseconds(milliseconds: int) -> datetime.date:
    days, rest = divmod(milliseconds, DAY_MILLISECONDS)
    if rest:  # as Arrow says it
        raise ValueError(f"date64[ms] {milliseconds} does not represent a whole number of days")
    return date_from_days(days)


def _date_from_json(value: Any) -> datetime.date:
    return datetime.date.fromisoformat(expect(value, str, "a date in text"))


def timestamp_type(name: str) -> ValueType:
    unit, zone = timestamp_parts(name) or ("us", None)

    def encode(value: object) -> int | None:
        if is_missing(value):
            return None
        if is_numpy_time(value, "datetime64", unit):  # in UTC if there is a zone
            return _exactly(numpy_count, value, unit)
        if not isinstance(value, datetime.datetime):
            is_date = isinstance(value, datetime.date)
            advice = "return datetime.datetime.combine(date, datetime.time())" if is_date else ""
            raise wrong_result(value, "datetime.datetime", advice)
        if (value.utcoffset() is None) != (zone is None):
            raise _in_no_zone(name) if zone is not None else _in_a_zone(name)
        moment = value if zone is None else in_utc(value)
        return _exactly(lambda _, unit: count_from_datetime(moment, unit), value, unit)

    def from_json(value: Any) -> datetime.datetime:
        return _datetime_from_json(value, unit, zone)

    return _stored_by(encode, from_json, _datetime_decoder(unit, zone))


def _in_no_zone(declared: str) -> TypeError:
    return TypeError(
        f"the function returned a naive datetime, but its result is declared"
        f" {declared}: return moment.replace(tzinfo=...) with the zone that it is in"
    )


def _in_a_zone(declared: str) -> TypeError:
    return TypeError(
        f"the function returned an aware datetime, but its result is declared {declared},"
        " which has none: return moment.replace(tzinfo=None), or declare a zone, as timestamp[us,"
        " tz=UTC] has one"
    )


def _datetime_decoder(unit: str, zone: str | None) -> Converter:
    read = datetime_reader(unit, zone)
    if unit != "ns":
        return read

    def decode(count: int) -> datetime.datetime:
        try:
            return read(count)
        except Loss:
            raise ValueError(
                f"the timestamp {count} ns cannot be a datetime.datetime, which has microseconds:"
                " use a vectorised function"
            ) from None

    return decode


def _datetime_from_json(value: Any, unit: str, zone: str | None) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(expect(value, str, "a time in text"))
    if (moment.utcoffset() is not None) != (zone is not None):
        raise ValueError(
            f"expected a time {'without' if zone is None else 'with'} an offset in JSON, got"
            f" {value!r}"
        )
    if moment.microsecond % MICROSECONDS.get(unit, 1) or _NANOSECONDS.search(value):
        raise ValueError(
            f"expected a whole number of {unit} in JSON, or of microseconds, which"
            f" datetime.datetime has; got {value!r}"
        )
    return moment


def _encode_exactly(
    expected: type, convert: Callable[[Any, str], object], unit: str, value: object
) -> object:
    """Converts a result of a class. Raises ValueError unless it is a whole number of units."""
    if is_missing(value):
        return None
    if expected is datetime.timedelta and is_numpy_time(value, "timedelta64", unit):
        return _exactly(numpy_count, value, unit)
    if not isinstance(value, expected):
        raise wrong_result(value, f"datetime.{expected.__name__}")
    return _exactly(convert, value, unit)


def _exactly(convert: Callable[[Any, str], Any], value: object, unit: str) -> Any:
    try:
        return convert(value, unit)
    except Loss as loss:
        raise ValueError(f"the function returned {value!r}, {loss}") from None


def time_of_day_type(name: str) -> ValueType:
    unit = time_unit(name) or "us"

    encode = functools.partial(_encode_exactly, datetime.time, text_from_time, unit)

    def decode(text: str) -> datetime.time:
        return time_from_text(text, unit)

    def from_json(value: Any) -> datetime.time:
        return decode(expect(value, str, "a time in text"))

    return ValueType(encode, checked_by(encode), from_json, _udfvm_agent.TYPE_TEXT, decode)


def duration_type(name: str) -> ValueType:
    unit = duration_unit(name) or "us"

    encode = functools.partial(_encode_exactly, datetime.timedelta, count_from_timedelta, unit)

    def decode(count: int) -> datetime.timedelta:
        return timedelta_from_count(count, unit)

    def from_json(value: Any) -> datetime.timedelta:
        duration = duration_from_text(expect(value, str, "a duration in text"))
        count_from_timedelta(duration, unit)
        return duration

    return _stored_by(encode, from_json, decode)


def interval_type(name: str) -> ValueType:
    from _udfvm_intervals import (  # for such types alone
        checked_interval,
        interval_from_text,
        is_interval,
        pickle_intervals,
        text_from_interval,
    )

    pickle_intervals()  # in states of aggregates

    def check(value: object) -> object:
        if not is_interval(value):
            raise wrong_result(value, "pyarrow.MonthDayNano")
        try:
            return checked_interval(value)
        except Loss as loss:
            raise OverflowError(f"the function returned {value!r}: {loss}") from None

    def in_text(value: object) -> str:
        return text_from_interval(check(value))

    def from_json(value: Any) -> Any:
        return interval_from_text(expect(value, str, "an interval in text"))

    return ValueType(
        in_text,
        check,
        from_json,
        _udfvm_agent.TYPE_TEXT,
        interval_from_text,
        in_json=in_text,  # it is a tuple, which JSON has as a list
    )
