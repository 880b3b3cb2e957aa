"""Checks of numbers and switches among options.

Each raises OptionError, with the option's name, for a value of another type or out of range. NaN
and infinity are out of range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from udfvm.errors import OptionError
from udfvm.static_typing import Any, Final
from udfvm.texts import listed

MIN_SECONDS: Final = 1e-9  # of a deadline: a nanosecond
MAX_SECONDS: Final = 1e9  # seconds: some 30 years
MAX_COUNT: Final = (1 << 60) - 1  # bytes or calls: the core has 64 bits for both
_MAX_SHOWN: Final = 100


@contextmanager
def options_of(owner: str) -> Iterator[None]:
    """Names the owner of options in the errors of their checks.

    >>> with options_of("udfvm.Pool"):
    ...     check_count("size", 0, 1, 4096)
    Traceback (most recent call last):
    udfvm.errors.OptionError: udfvm.Pool: size=0 must be from 1 to 4096
    """
    try:
        yield
    except OptionError as error:
        raise OptionError(f"{owner}: {error}") from None


def _is_switch(value: object) -> bool:
    """Returns True for a bool, numpy's included. Python would take it for a number."""
    return type(value).__name__ in ("bool", "bool_")


def shown(value: object) -> str:
    """Returns the repr of a value, shortened for an error."""
    try:
        text = repr(value)
    except ValueError:  # the interpreter's limit on digits (sys.set_int_max_str_digits)
        return "a huge number"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def is_whole(value: object) -> bool:
    """Returns True for a whole number: an int, or a type that is registered as one, as numpy's."""
    if type(value) is int:
        return True
    import numbers  # few programs need it

    return isinstance(value, numbers.Integral) and not _is_switch(value)


def is_real(value: object) -> bool:
    """Returns True for a real number: a float or int, or a type that is registered as one."""
    if isinstance(value, (float, int)):
        return True
    import numbers

    return isinstance(value, numbers.Real)


def check_count(option: str, count: Any, minimum: int = 0, maximum: int = MAX_COUNT) -> int:
    """Returns a whole number within its range.

    >>> check_count("size", 64, 1, 4096)
    64
    """
    if not is_whole(count):
        raise OptionError(f"{option}= takes a whole number; got {shown(count)}")
    if not minimum <= count <= maximum:
        raise OptionError(f"{option}={shown(count)} must be {_counts(minimum, maximum)}")
    return int(count)


def _counts(minimum: int, maximum: int) -> str:
    if maximum < MAX_COUNT:
        return f"from {minimum} to {maximum}"
    return f"at least {minimum}, and below 2**60"


def check_seconds(
    option: str, seconds: Any, minimum: float = 0.0, maximum: float = MAX_SECONDS
) -> float:
    """Returns a number of seconds within its range.

    >>> check_seconds("timeout", "1s")
    Traceback (most recent call last):
    udfvm.errors.OptionError: timeout= takes seconds as a number, such as 1.5; got '1s'
    """
    if not is_real(seconds) or _is_switch(seconds):
        is_duration = callable(getattr(seconds, "total_seconds", None))  # a timedelta's
        advice = ": pass its .total_seconds()" if is_duration else ""
        raise OptionError(
            f"{option}= takes seconds as a number, such as 1.5; got {shown(seconds)}{advice}"
        )
    try:
        number = float(seconds)
    except OverflowError:  # an int out of the range of floats
        number = float("inf")
    if not minimum <= number <= maximum:  # false for NaN, too
        bounds = "more than 0 and at most" if minimum == MIN_SECONDS else f"from {minimum:g} to"
        raise OptionError(f"{option}={shown(seconds)} must be {bounds} {maximum:,.0f} seconds")
    return number


def check_switch(option: str, value: Any) -> bool:
    """Returns a bool.

    >>> check_switch("files", False)
    False
    """
    if not _is_switch(value):
        raise OptionError(f"{option}= takes True or False; got {shown(value)}")
    return bool(value)


def check_choice(option: str, value: Any, choices: Sequence[str]) -> None:
    """Raises OptionError unless a value is one of the choices.

    >>> check_choice("on_error", "ignore", ("raise", "null", "skip"))
    Traceback (most recent call last):
    udfvm.errors.OptionError: on_error='ignore' must be 'raise', 'null' or 'skip'
    """
    if value not in choices:
        raise OptionError(f"{option}={shown(value)} must be {listed(map(repr, choices))}")
