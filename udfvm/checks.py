"""Numbers and switches among options.

What makes no sense raises OptionError, with the option's name: what is no number, or out of range,
as nan and infinity are.
"""

from __future__ import annotations

import datetime
import numbers
from typing import Any, Final

from udfvm.errors import OptionError

MAX_SECONDS: Final = 1e9  # seconds: some 30 years
MAX_COUNT: Final = 1 << 60  # bytes, or how often: the core has 64 bits for either
_MAX_SHOWN: Final = 100


def _is_switch(value: object) -> bool:
    """A bool, numpy's included, which Python would take for a number."""
    return type(value).__name__ in ("bool", "bool_")


def shown(value: object) -> str:
    """What was passed, for the text of an error."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out ints of some thousand digits
        return "a huge number"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def is_whole(value: object) -> bool:
    """Whether it is a whole number: an int, or what libraries such as numpy declare to be one."""
    return isinstance(value, numbers.Integral) and not _is_switch(value)


def check_count(option: str, count: Any, minimum: int = 0, maximum: int = MAX_COUNT) -> int:
    """The whole number.

    >>> check_count("size", 64, 1, 4096)
    64
    """
    if not is_whole(count):
        raise OptionError(f"{option}= takes a whole number; got {shown(count)}")
    if not minimum <= count <= maximum:
        raise OptionError(f"{option}={shown(count)} must be from {minimum} to {maximum}")
    return int(count)


def check_seconds(
    option: str, seconds: Any, minimum: float = 0.0, maximum: float = MAX_SECONDS
) -> float:
    """The number of seconds.

    >>> check_seconds("timeout", "1s")
    Traceback (most recent call last):
    udfvm.errors.OptionError: timeout= takes seconds as a number, such as 1.5; got '1s'
    """
    if not isinstance(seconds, numbers.Real) or _is_switch(seconds):
        advice = ": pass its .total_seconds()" if isinstance(seconds, datetime.timedelta) else ""
        raise OptionError(
            f"{option}= takes seconds as a number, such as 1.5; got {shown(seconds)}{advice}"
        )
    try:
        number = float(seconds)
    except OverflowError:  # an int that no float can be
        number = float("inf")
    if not minimum <= number <= maximum:  # nan is nowhere
        raise OptionError(
            f"{option}={shown(seconds)} must be from {minimum:g} to {maximum:g} seconds"
        )
    return number


def check_switch(option: str, value: Any) -> bool:
    """The bool.

    >>> check_switch("files", False)
    False
    """
    if not _is_switch(value):
        raise OptionError(f"{option}= takes True or False; got {shown(value)}")
    return bool(value)
