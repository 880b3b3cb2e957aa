"""Units and time zones in the names of types of times: apart from ``temporal``, since importing
datetime takes a while.

The build copies this beside ``conversions``, so it imports nothing else of udfvm.
"""

from __future__ import annotations

import functools
import re

from udfvm.static_typing import Final
from udfvm.types.conversions import TIMESTAMP

# Patterns, which are compiled when they are first used.
_TIME: Final = r"time(?:32\[(s|ms)|64\[(us|ns))\]"
_DURATION: Final = r"duration\[(s|ms|us|ns)\]"


def with_space(name: str) -> str:
    """Returns the name of a timestamp as pyarrow prints it, with a space before its time zone;
    other names as they are.
    """
    return re.sub(r"(timestamp\[(?:s|ms|us|ns),)tz=", r"\1 tz=", name)


@functools.cache
def timestamp_parts(name: str) -> tuple[str, str | None] | None:
    """Unit and time zone of a timestamp, by the name of its type; None for other types.

    >>> timestamp_parts("timestamp[ms, tz=UTC]")
    ('ms', 'UTC')
    """
    match = TIMESTAMP.fullmatch(name)
    return (match[1], match[2]) if match else None


@functools.cache
def time_unit(name: str) -> str | None:
    """Returns the unit of a time of day, by the name of its type; None for other types.

    >>> time_unit("time32[ms]")
    'ms'
    """
    match = re.fullmatch(_TIME, name)
    return (match[1] or match[2]) if match else None


@functools.cache
def duration_unit(name: str) -> str | None:
    """Returns the unit of a duration, by the name of its type; None for other types.

    >>> duration_unit("duration[ns]")
    'ns'
    """
    match = re.fullmatch(_DURATION, name)
    return match[1] if match else None
