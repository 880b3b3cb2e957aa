"""The conversions of values: which types convert to which, in and out, on the host and in guests.
``CONVERSIONS`` decides for all of them. ``array_conversions`` converts arrays.

The build copies both modules into the guest, so they import nothing else of udfvm.

A conversion that was not asked for loses nothing. An integer becomes a float only if the float is
exactly the integer. A time changes its unit only if it is a whole number of the new one. A float
becomes the nearest float of a narrower type, since declaring ``float`` means that, but never an
infinite one.
"""

from __future__ import annotations

import enum
import re
import struct
import sys
from collections.abc import Callable

from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple
from udfvm.types.names import INTERVAL


class Rule(enum.Enum):
    """What happens to the values of a type if another is declared."""

    EXACT = "all"
    CHECKED = "each is checked"
    REFUSED = "none"


class Loss(ValueError):
    """Values that cannot have the declared type without loss. ``row`` is the first of them, if it
    is known.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class Refused(TypeError):
    """Values of a type that does not convert to the declared one."""


class Conversion(NamedTuple):
    """An entry of the table: from a family of types to another, the rule, and the check of each
    value.
    """

    found: str
    declared: str
    rule: Callable[[str, str], Rule]
    check: str


FLOAT32: Final = struct.Struct("<f")  # packs the nearest; OverflowError where that is infinite
_PACKED: Final = {"halffloat": struct.Struct("<e"), "float": FLOAT32}
_WITH_NAN: Final = ("float16", "float32", "datetime64", "timedelta64")  # scalars of numpy
_LARGEST: Final = sys.float_info.max
_INTEGER: Final = r"(u?)int(8|16|32|64)"
TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")  # unit and time zone
FIXED_BINARY: Final = re.compile(r"fixed_size_binary\[(\d{1,9})\]")  # its size
# Bits of the integers that a float represents exactly.
_WIDTHS: Final = {
    "halffloat": 11,
    "float": 24,
    "double": 53,
}
_FAMILIES: Final = {
    "null": "null",
    "bool": "bool",
    **dict.fromkeys(_WIDTHS, "float"),
    "string": "text",
    "large_string": "text",
    "string_view": "text",
    "json": "text",
    "binary": "bytes",
    "large_binary": "bytes",
    "binary_view": "bytes",
    "date32[day]": "date",
    "date64[ms]": "date",
    INTERVAL: "interval",
}
_PATTERNS: Final = (  # of the names of types; compiled when they are first used
    ("integer", _INTEGER + r"\Z"),
    ("bytes", FIXED_BINARY.pattern + r"\Z"),
    ("decimal", r"decimal\d+\("),
    ("time of day", r"time(32|64)\["),
    ("duration", r"duration\["),
    ("list", "(large_)?list(_view)?<|fixed_size_list<"),
    ("struct", "struct<"),
    ("map", "map<"),
    ("union", "(sparse|dense)_union<"),
)

_DECLARED: Final = (
    "null",
    "bool",
    "integer",
    "float",
    "text",
    "bytes",
    "date",
    "time",
    "time with a zone",
    "time of day",
    "duration",
    "interval",
    "decimal",
    "list",
    "struct",
    "map",
    "union",
)


def family(name: str) -> str:
    """Returns the family of a type by its name, as pyarrow prints it; ``other`` for types that
    cannot be declared.
    """
    if name in _FAMILIES:
        return _FAMILIES[name]
    if match := TIMESTAMP.fullmatch(name):
        return "time with a zone" if match[2] else "time"
    return next((each for each, names in _PATTERNS if re.match(names, name)), "other")


def integer_range(name: str) -> tuple[int, int]:
    """Returns the smallest and largest value of an integer type."""
    match = re.fullmatch(_INTEGER, name)
    if match is None:
        raise ValueError(f"{name} is not an integer type")
    bits = int(match[2])
    return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _all(found: str, declared: str) -> Rule:
    return Rule.EXACT


def _each(found: str, declared: str) -> Rule:
    return Rule.CHECKED


def _integers(found: str, declared: str) -> Rule:
    (smallest, largest), (minimum, maximum) = integer_range(found), integer_range(declared)
    return Rule.EXACT if minimum <= smallest and largest <= maximum else Rule.CHECKED


def _integer_to_float(found: str, declared: str) -> Rule:
    smallest, largest = integer_range(found)
    return Rule.EXACT if max(-smallest, largest) <= 2 ** _WIDTHS[declared] else Rule.CHECKED


def _floats(found: str, declared: str) -> Rule:
    return Rule.EXACT if _WIDTHS[found] <= _WIDTHS[declared] else Rule.CHECKED


def _dates(found: str, declared: str) -> Rule:
    return Rule.CHECKED if found == "date64[ms]" else Rule.EXACT


def _times(found: str, declared: str) -> Rule:
    one, other = TIMESTAMP.fullmatch(found), TIMESTAMP.fullmatch(declared)
    return (
        Rule.EXACT if one is not None and other is not None and one[1] == other[1] else Rule.CHECKED
    )


def _bytes(found: str, declared: str) -> Rule:
    is_exact = found == declared or not FIXED_BINARY.fullmatch(declared)
    return Rule.EXACT if is_exact else Rule.CHECKED


CONVERSIONS: Final = (
    *(Conversion("null", each, _all, "") for each in _DECLARED),
    Conversion("bool", "bool", _all, ""),
    Conversion("bool", "integer", _all, ""),  # as in Python, where True is an int
    Conversion("bool", "float", _all, ""),
    Conversion("integer", "integer", _integers, "in the range of the type"),
    Conversion("integer", "float", _integer_to_float, "if a float is exactly the integer"),
    Conversion("float", "float", _floats, "rounded to the nearest; none becomes infinite"),
    Conversion("text", "text", _each, "valid UTF-8"),
    Conversion("bytes", "bytes", _bytes, "of the size of a ``fixed_size_binary``"),
    Conversion("date", "date", _dates, "whole days"),
    Conversion("time", "time", _times, "whole numbers of the unit, in its range"),
    Conversion(
        "time with a zone",
        "time with a zone",
        _times,
        "as for times; with another zone, the moment stays the same",
    ),
    Conversion("time of day", "time of day", _each, "whole numbers of the unit"),
    Conversion("duration", "duration", _each, "whole numbers of the unit, in its range"),
    Conversion("interval", "interval", _all, ""),
    Conversion("integer", "decimal", _each, "if the type has the digits"),
    Conversion("decimal", "decimal", _each, "if the type has the digits"),
    Conversion("list", "list", _each, "as for their values; a fixed-size list must have that size"),
    Conversion(
        "struct",
        "struct",
        _each,
        "as for their fields, which must have the same names in the same order",
    ),
    Conversion("map", "map", _each, "as for their keys and values"),
    Conversion(
        "union",
        "union",
        _each,
        "as for their types, which must have the same names in the same order",
    ),
)
_TABLE: Final = {(each.found, each.declared): each for each in CONVERSIONS}


def rule(found: str, declared: str) -> Rule:
    """Returns what happens to values of a type if another is declared, both by name. For lists and
    structs the types in them decide.
    """
    conversion = _TABLE.get((family(found), family(declared)))
    return Rule.REFUSED if conversion is None else conversion.rule(found, declared)


def markdown() -> str:
    """Returns the table for the documentation."""
    lines = ["| from | to | which values |", "| --- | --- | --- |"]
    for each in CONVERSIONS:
        if each.found != "null":
            lines.append(f"| {each.found} | {each.declared} | {each.check or 'all'} |")
    return "\n".join(
        (*lines, "| null | any | all; they become nulls |", "| anything else | | none |")
    )


# ---- Values ----


def exact_float(value: Any, name: str) -> float:
    """Returns a number as a float of a type: exactly for integers, the nearest finite one for
    floats. Raises Loss.
    """
    if hasattr(value, "dtype"):  # numpy converts its integers to floats to compare them with floats
        value = value.item()
    try:
        real = float(value)
    except OverflowError:
        raise Loss(f"{short(value)} is too large for {name}") from None
    is_nan = not abs(real) >= 0
    if not isinstance(value, float) and real != value and not is_nan:
        raise Loss(f"{short(value)} cannot be represented exactly as {name}")
    if name in _PACKED and abs(real) <= _LARGEST:
        narrow = _nearest(real, name)
        if not isinstance(value, float) and narrow != real and not hasattr(value, "dtype"):
            raise Loss(f"{short(value)} cannot be represented exactly as {name}")
        return narrow
    return real


def _nearest(real: float, name: str) -> float:
    layout = _PACKED[name]
    try:
        nearest: float = layout.unpack(layout.pack(real))[0]
    except OverflowError:
        raise Loss(f"{short(real)} is too large for {name}") from None
    return nearest


def is_missing(value: object) -> bool:
    """Returns True for the values that pandas uses for null."""
    class_ = type(value)
    return class_.__name__ in ("NaTType", "NAType") and class_.__module__.startswith("pandas")


def without_missing(values: list[Any]) -> list[Any]:
    """Returns the values of a Series of objects of pandas, with None for what pandas has for null
    there: ``NA``, and ``NaT`` and NaN of any library.

    >>> import decimal
    >>> without_missing(["a", float("nan"), decimal.Decimal("NaN"), None])
    ['a', None, None, None]
    """
    return [None if is_missing(value) or _is_nan(value) else value for value in values]


def _is_nan(value: Any) -> bool:
    if isinstance(value, float) or type(value).__name__ in _WITH_NAN:
        return bool(value != value)  # noqa: PLR0124 - NaN is known by that
    return type(value).__name__ == "Decimal" and value.is_nan()


def surrogate_of(error: UnicodeEncodeError) -> str:
    r"""Returns what text has that UTF-8 does not have. It continues a sentence whose subject is the
    text.

    >>> try:
    ...     ("a" + chr(0xD800)).encode()
    ... except UnicodeEncodeError as error:
    ...     surrogate_of(error)
    "has the lone surrogate '\\ud800' at character 1, which UTF-8 does not have"
    """
    found = error.object[error.start]
    return f"has the lone surrogate {found!r} at character {error.start}, which UTF-8 does not have"


def short(value: object) -> str:
    """Returns a short repr of a value."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the value's class may fail, and so do integers of too many digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
