"""Intervals of months, days and nanoseconds: ``pyarrow.MonthDayNano`` in Python, ISO 8601 in text.

The three are kept apart, because a month has no certain number of days, nor a day of hours. The
build copies this beside ``conversions``, so it imports nothing else of udfvm, and pyarrow only
where there is an interval.
"""

from __future__ import annotations

import copyreg
import re
from typing import Any, Final

from udfvm.types.conversions import Loss

_SECOND: Final = 10**9
_NUMBER: Final = r"(-?\d{1,19})"
_TEXT: Final = re.compile(
    rf"P(?=.)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:(-?)(\d{{1,19}})(?:\.(\d{{1,9}}))?S)?)?",
    re.ASCII,
)
_BITS: Final = {"months": 32, "days": 32, "nanoseconds": 64}


def is_interval(value: object) -> bool:
    """Returns True for a ``pyarrow.MonthDayNano``, without an import of pyarrow.

    >>> import pyarrow as pa
    >>> is_interval(pa.MonthDayNano([1, 2, 3])), is_interval((1, 2, 3))
    (True, False)
    """
    return type(value).__name__ == "MonthDayNano" and isinstance(value, tuple)


def interval_of(*parts: int) -> Any:
    """Returns the interval of months, days and nanoseconds."""
    import pyarrow as pa

    return pa.MonthDayNano(parts)


def pickle_intervals() -> None:
    """Lets pickle take intervals, whose class says that it is a builtin."""
    import pyarrow as pa

    copyreg.pickle(pa.MonthDayNano, lambda value: (interval_of, tuple(value)))


def checked_interval(value: Any) -> Any:
    """Returns an interval whose parts are integers that Arrow holds. Raises Loss."""
    for (name, bits), part in zip(_BITS.items(), value, strict=True):
        if not isinstance(part, int) or not -(2 ** (bits - 1)) <= part < 2 ** (bits - 1):
            raise Loss(f"its {name} are not an integer of {bits} bits")
    return value


def text_from_interval(value: Any) -> str:
    """Returns the text of an interval: ISO 8601, each part with its own sign. Raises Loss.

    >>> import pyarrow as pa
    >>> text_from_interval(pa.MonthDayNano([14, -3, -1_500_000_000]))
    'P14M-3DT-1.5S'
    """
    months, days, nanoseconds = checked_interval(value)
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    date = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    sign = "-" if nanoseconds < 0 else ""
    time = f"T{sign}{seconds}{fraction}S" if nanoseconds or not date else ""
    return f"P{date}{time}"


def interval_from_text(text: str) -> Any:
    """Returns the interval that text stands for. Raises ValueError; Loss beyond what Arrow holds.

    >>> interval_from_text("P1Y2M-3DT1H-1.5S")
    MonthDayNano(months=14, days=-3, nanoseconds=3598500000000)
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} where an interval such as P1M2DT3.5S is declared")
    *parts_of_date, hours, minutes, sign, seconds, fraction = match.groups(default="0")
    years, months, weeks, days = map(int, parts_of_date)
    length = int(seconds) * _SECOND + int(fraction.ljust(9, "0"))
    nanoseconds = (int(hours) * 60 + int(minutes)) * 60 * _SECOND + (
        -length if sign == "-" else length
    )
    parts = years * 12 + months, weeks * 7 + days, nanoseconds
    return interval_of(*checked_interval(parts))
