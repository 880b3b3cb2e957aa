"""Dates and times of Python as the counts that Arrow stores, and back; units and time zones.

The build copies this beside ``conversions``, so it imports nothing else of udfvm.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any, Final

from udfvm.types.conversions import TIMESTAMP, Loss

EPOCH: Final = datetime.datetime(1970, 1, 1)
EPOCH_DAYS: Final = EPOCH.toordinal()  # days from year 1 on, as Python counts them
DAY_MILLISECONDS: Final = 86_400_000  # of ``date64[ms]``
MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}  # of a unit; nanoseconds are finer
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


@functools.cache
def timestamp_parts(name: str) -> tuple[str, str | None] | None:
    """Unit and time zone of a timestamp, by the name of its type; None for other types.

    >>> timestamp_parts("timestamp[ms, tz=UTC]")
    ('ms', 'UTC')
    """
    match = TIMESTAMP.fullmatch(name)
    return (match[1], match[2]) if match else None


def time_zone(name: str) -> datetime.tzinfo:
    """The zone of an Arrow timestamp: a name of the time zone database, or an offset such as
    ``+05:30``. Raises ``zoneinfo.ZoneInfoNotFoundError``, which is a KeyError.
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
    """The date so many days after 1970-01-01. Raises ValueError or OverflowError where that is
    beyond the years 1 to 9999.
    """
    return datetime.date.fromordinal(days + EPOCH_DAYS)


def days_from_date(date: datetime.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - EPOCH_DAYS


def datetime_reader(unit: str, timezone: str | None) -> Callable[[int], datetime.datetime]:
    """What makes a datetime of the count that a timestamp stores: an aware one where the type has a
    time zone. It raises OverflowError beyond the years 1 to 9999, and Loss for nanoseconds that are
    no whole microseconds.
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
        raise Loss(f"{nanoseconds} ns since 1970 is no whole number of microseconds")
    return nanoseconds // 1000


def in_utc(moment: datetime.datetime) -> datetime.datetime:
    """An aware datetime as a naive one in UTC. Raises OverflowError beyond the years 1 to 9999."""
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def count_from_datetime(moment: Any, unit: str) -> int:
    """What a timestamp stores for a naive datetime, or a ``pandas.Timestamp``, which has
    nanoseconds. Raises Loss where that is no whole number of the unit.
    """
    microseconds: int = (moment - EPOCH) // _MICROSECOND
    nanoseconds: int = getattr(moment, "nanosecond", 0)
    if unit == "ns":
        return microseconds * 1000 + nanoseconds
    count, rest = divmod(microseconds, MICROSECONDS[unit])
    if rest or nanoseconds:
        raise Loss(f"no whole number of {unit}")
    return count
