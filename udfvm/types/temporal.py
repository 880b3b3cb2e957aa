"""Dates and times of Python as the counts that Arrow stores, and back; units and time zones.

The build copies this beside ``conversions``, so it imports nothing else of udfvm.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable
from typing import Any, Final

from udfvm.types.conversions import Loss

EPOCH: Final = datetime.datetime(1970, 1, 1)
EPOCH_DAYS: Final = EPOCH.toordinal()  # days from year 1 on, as Python counts them
DAY_MILLISECONDS: Final = 86_400_000  # of ``date64[ms]``
MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}  # of a unit; nanoseconds are finer
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
# Patterns, which are compiled when they are first used.
_TIME_TEXT: Final = r"(\d\d:\d\d(?::\d\d(?:\.(\d{1,6})(\d{0,3}))?)?)"
_TIMESPECS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
_DURATION_TEXT: Final = r"(-?)PT(\d{1,14})(?:\.(\d{1,6}))?S"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def time_zone(name: str) -> datetime.tzinfo:
    """Returns the zone of an Arrow timestamp: a name of the time zone database, or an offset such
    as ``+05:30``. Raises ``zoneinfo.ZoneInfoNotFoundError``, which is a KeyError.
    """
    if name == "UTC":
        return datetime.UTC
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        return datetime.timezone(-offset if name[0] == "-" else offset)
    import zoneinfo

    return zoneinfo.ZoneInfo(name)


def date_from_days(days: int) -> datetime.date:
    """Returns the date so many days after 1970-01-01. Raises ValueError or OverflowError where that
    is beyond the years 1 to 9999.
    """
    return datetime.date.fromordinal(days + EPOCH_DAYS)


def days_from_date(date: datetime.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - EPOCH_DAYS


def datetime_reader(unit: str, timezone: str | None) -> Callable[[int], datetime.datetime]:
    """Returns what makes a datetime of the count that a timestamp stores: an aware one where the
    type has a time zone. It raises OverflowError beyond the years 1 to 9999, and Loss for
    nanoseconds that are not whole microseconds.
    """
    zone = None if timezone is None else time_zone(timezone)
    step = MICROSECONDS.get(unit)

    def read(count: int) -> datetime.datetime:
        microseconds = _whole_microseconds(count) if step is None else count * step
        moment = EPOCH + datetime.timedelta(microseconds=microseconds)
        return moment if zone is None else moment.replace(tzinfo=datetime.UTC).astimezone(zone)

    return read


def _whole_microseconds(nanoseconds: int) -> int:
    if nanoseconds % 1000:
        raise Loss(f"{nanoseconds} ns since 1970 is not a whole number of microseconds")
    return nanoseconds // 1000


def in_utc(moment: datetime.datetime) -> datetime.datetime:
    """Returns an aware datetime as a naive one in UTC. Raises OverflowError beyond the years 1 to
    9999.
    """
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def count_from_datetime(moment: Any, unit: str) -> int:
    """Returns what a timestamp stores for a naive datetime, or a ``pandas.Timestamp``, which has
    nanoseconds. Raises Loss where that is not a whole number of the unit.
    """
    microseconds: int = (moment - EPOCH) // _MICROSECOND
    nanoseconds: int = getattr(moment, "nanosecond", 0)
    if unit == "ns":
        return microseconds * 1000 + nanoseconds
    count, rest = divmod(microseconds, MICROSECONDS[unit])
    if rest or nanoseconds:
        raise Loss(f"not a whole number of {unit}")
    return count


# ---- Times of day ----


def text_from_time(time: datetime.time, unit: str) -> str:
    """Returns the text of a time of day, with as many digits as its unit has. Raises Loss where it
    has more, and for one with a time zone.

    >>> text_from_time(datetime.time(12, 30, 1, 500_000), "ms")
    '12:30:01.500'
    """
    if time.tzinfo is not None:
        raise Loss("which has a time zone: pass time.replace(tzinfo=None)")
    if time.microsecond % MICROSECONDS.get(unit, 1):
        raise Loss(f"not a whole number of {unit}")
    text = time.isoformat(_TIMESPECS.get(unit, "microseconds"))
    return text + "000" if unit == "ns" else text


def time_from_text(text: str, unit: str) -> datetime.time:
    """Returns the time of day that text stands for. Raises ValueError; Loss where it has more
    digits than the unit, or than microseconds.
    """
    match = _compiled(_TIME_TEXT).fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} where a time such as 12:30:00 is declared")
    try:
        time = datetime.time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time of day: {error}") from None
    if time.microsecond % MICROSECONDS.get(unit, 1) or (match[3] or "").strip("0"):
        raise Loss(f"{text} is not a whole number of {unit if unit != 'ns' else 'microseconds'}")
    return time


# ---- Durations ----


def count_from_timedelta(duration: Any, unit: str) -> int:
    """Returns what a duration type stores for a timedelta, or a ``pandas.Timedelta``, which has
    nanoseconds. Raises Loss where that is not a whole number of the unit, or beyond its range.
    """
    microseconds: int = duration // _MICROSECOND
    nanoseconds: int = getattr(duration, "nanoseconds", 0)
    if unit == "ns":
        count = microseconds * 1000 + nanoseconds
    else:
        count, rest = divmod(microseconds, MICROSECONDS[unit])
        if rest or nanoseconds:
            raise Loss(f"not a whole number of {unit}")
    if not -(2**63) <= count < 2**63:
        raise Loss(f"out of the range of duration[{unit}]")
    return count


def timedelta_from_count(count: int, unit: str) -> datetime.timedelta:
    """Returns the timedelta of what a duration type stores. Raises OverflowError beyond what Python
    has, and Loss for nanoseconds that are not whole microseconds.
    """
    if unit == "ns":
        if count % 1000:
            raise Loss(f"{count} ns is not a whole number of microseconds")
        return datetime.timedelta(microseconds=count // 1000)
    return datetime.timedelta(microseconds=count * MICROSECONDS[unit])


def text_from_duration(duration: datetime.timedelta) -> str:
    """Returns the text of a duration: ISO 8601, in seconds.

    >>> text_from_duration(datetime.timedelta(minutes=-1, milliseconds=-500))
    '-PT60.5S'
    """
    sign = "-" if duration < datetime.timedelta() else ""
    seconds, rest = divmod(abs(duration) // _MICROSECOND, 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{sign}PT{seconds}{fraction}S"


def duration_from_text(text: str) -> datetime.timedelta:
    """Returns the duration that text in seconds stands for. Raises ValueError or OverflowError."""
    match = _compiled(_DURATION_TEXT).fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} where a duration such as PT90.5S is declared")
    microseconds = int(match[2]) * 1_000_000 + int((match[3] or "0").ljust(6, "0"))
    return datetime.timedelta(microseconds=-microseconds if match[1] else microseconds)
