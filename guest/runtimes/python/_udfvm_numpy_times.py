"""Scalars of numpy that are times or durations, as the counts that Arrow stores."""

from __future__ import annotations

import sys
from typing import Any, Final

from _udfvm_conversions import Loss
from _udfvm_value_type import Converter

_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NOT_A_TIME: Final = -(2**63)


def is_numpy_time(value: object, class_: str, unit: str) -> bool:
    """Returns True for a scalar of a class, ``datetime64`` or ``timedelta64``, that counts in one
    of Arrow's units. Days (``D``) are dates, which are no times.
    """
    if type(value).__name__ != class_ or type(value).__module__ != "numpy":
        return False
    found, step = _unit_of(value)
    return step == 1 and (found == unit if "D" in (found, unit) else found in _NANOSECONDS)


def numpy_count(value: Any, unit: str) -> int | None:
    """Returns what is stored for a scalar that ``is_numpy_time``; None for ``NaT``. Raises Loss
    where it is no whole number of the unit, or out of its range.
    """
    count = int(value.astype("int64"))
    if count == _NOT_A_TIME:
        return None
    if unit == "D":
        return count
    count, rest = divmod(count * _NANOSECONDS[_unit_of(value)[0]], _NANOSECONDS[unit])
    if rest:
        raise Loss(f"not a whole number of {unit}")
    if not -(2**63) < count < 2**63:
        raise Loss(f"out of the range of {unit} in 64 bits")
    return count


def times_by(encode: Converter, decode: Converter, *, strict: bool = False) -> Converter:
    """Returns a check that keeps values that can be stored, and has scalars of numpy as Python has
    them: where Python has not, as their count, or, if ``strict``, raises what ``decode`` does.
    """

    def check(value: object) -> Any:
        count = encode(value)
        if count is None or type(value).__module__ != "numpy":
            return None if count is None else value
        try:
            return decode(count)
        except (ValueError, OverflowError):
            if strict:
                raise
            return count

    return check


def _unit_of(value: Any) -> tuple[str, int]:
    numpy: Any = sys.modules["numpy"]
    found, step = numpy.datetime_data(value.dtype)
    return found, step
