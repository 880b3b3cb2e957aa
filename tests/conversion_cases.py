"""Types, and values on both sides of what a declared type holds, for tests of conversions."""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from udfvm.codec.arguments import columns_of
from udfvm.types import unions
from udfvm.types.arrow_types import Parameter, RowType, declared, named
from udfvm.types.conversions import (
    family,
    integer_range,
)

DAY = 86_400_000
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
STAMPS = [
    (unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Europe/Paris")
]
COUNTS = [0, 1, -1, 1000, 10**6, 10**9, 2**62, -(2**62)]
MARKS = [0, 1, 2**24 + 1, 2**31, 2**53, 2**53 + 1, 2**54, 2**60 + 1]


def in_range(name: str) -> list[int]:
    smallest, largest = integer_range(name)
    return sorted(
        {
            smallest,
            largest,
            *(mark for mark in MARKS if mark <= largest),
            *(-mark for mark in MARKS if -mark >= smallest),
        }
    )


SOURCES: dict[pa.DataType, list[Any]] = {
    pa.null(): [None],
    pa.bool_(): [False, True],
    **{pa.type_for_alias(name): in_range(name) for name in INTEGERS},
    pa.float16(): [0.5, math.inf, math.nan],
    pa.float32(): [0.5, -(2.0**127), math.inf, math.nan],
    pa.float64(): [0.5, 0.1, 3e38, 1e300, -1e300, -math.inf, math.nan, 2.0**53, 1.0],
    **{each: ["", "é", "a\0b"] for each in (pa.string(), pa.large_string(), pa.string_view())},
    **{
        each: [b"ab", b"\xff\0"]
        for each in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2))
    },
    pa.date32(): [0, -1, 2**31 - 1],
    pa.date64(): [0, -DAY, 5, DAY - 1, 2**40 * DAY // 2**20, 2**36 * DAY],
    **{pa.timestamp(unit, zone): COUNTS for unit, zone in STAMPS},
    pa.time32("s"): [0, 86_399],
    pa.time32("ms"): [0, 1, 1000],
    pa.time64("us"): [0, 1, 1000, 10**6],
    pa.time64("ns"): [1, 1000, 10**9, 86_400 * 10**9 - 1],
    **{pa.duration(unit): COUNTS for unit in ("s", "ms", "us", "ns")},
    pa.month_day_nano_interval(): [pa.MonthDayNano([1, -2, 3]), pa.MonthDayNano([0, 0, 0])],
    pa.decimal32(5, 2): [Decimal("1.25"), Decimal("-999.99"), Decimal("0.00")],
    pa.decimal128(20, 0): [Decimal(10**18), Decimal(-7)],
    pa.decimal256(76, 0): [Decimal(10**75), Decimal(2**64), Decimal(7)],
    pa.list_(pa.int8()): [[1]],
    pa.struct([("a", pa.int8())]): [{"a": 1}],
    pa.map_(pa.string(), pa.int8()): [{"a": 1}],
    pa.map_(pa.string(), pa.int8()): [[("a", 1)]],
    pa.dense_union([pa.field("a", pa.int8())]): [unions.Chosen(0, 1)],
}
DECLARED = [
    "null",
    "bool",
    *INTEGERS,
    "halffloat",
    "float",
    "double",
    "string",
    "large_string",
    "binary",
    "large_binary",
    "date32[day]",
    "date64[ms]",
    *(str(pa.timestamp(unit, zone)) for unit, zone in STAMPS),
    "fixed_size_binary[2]",
    "time32[s]",
    "time32[ms]",
    "time64[us]",
    "time64[ns]",
    *(f"duration[{unit}]" for unit in ("s", "ms", "us", "ns")),
    "month_day_nano_interval",
    "decimal32(5, 2)",
    "decimal64(18, 0)",
    "decimal128(38, 10)",
    "decimal256(76, 0)",
]
IN_ROWS = [name for name in DECLARED if named(name).row not in (None, RowType.NULL)]


class Case(NamedTuple):
    """A value of a type, and how a declared type stores it; None where it must be refused."""

    found: pa.DataType
    value: Any
    name: str
    stored: Any


def array_of(type_: pa.DataType, values: list[Any]) -> pa.Array:
    """An array of values as they are stored, which may be no valid dates."""
    if pa.types.is_temporal(type_) and not pa.types.is_interval(type_):
        return pa.array(values, pa.int32() if type_.bit_width == 32 else pa.int64()).view(type_)
    if pa.types.is_float16(type_):
        values = [np.float16(value) for value in values]
    return unions.array_of(values, type_)


def stored_values(array: pa.Array) -> list[Any]:
    """What array_of() was given; floats as text, for NaN's sake."""
    kind = array.type
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [repr(value) if isinstance(value, float) else value for value in array.to_pylist()]


def _as_itself(found: pa.DataType, value: Any, name: str) -> Any:
    return value


def _as_integer(found: pa.DataType, value: Any, name: str) -> Any:
    smallest, largest = integer_range(name)
    if not smallest <= int(value) <= largest:
        raise ValueError(f"{value} for {name}")
    return int(value)


def _rounded(value: Any, name: str) -> float:
    with np.errstate(over="ignore"):
        return float({"halffloat": np.float16, "float": np.float32}.get(name, np.float64)(value))


def _integer_as_float(found: pa.DataType, value: Any, name: str) -> Any:
    real = _rounded(int(value), name)
    if math.isinf(real) or Fraction(real) != int(value):
        raise ValueError(f"{value} for {name}")
    return repr(real)


def _float_as_float(found: pa.DataType, value: Any, name: str) -> Any:
    real = _rounded(value, name)
    if math.isinf(real) and not math.isinf(value):
        raise ValueError(f"{value} for {name}")
    return repr(real)


def _as_date(found: pa.DataType, value: Any, name: str) -> Any:
    milliseconds = value * DAY if str(found).startswith("date32") else value
    days, rest = divmod(milliseconds, DAY)
    if rest or (name != "date64[ms]" and not -(2**31) <= days < 2**31):
        raise ValueError(f"{value} for {name}")
    return milliseconds if name == "date64[ms]" else days


def _as_time(found: pa.DataType, value: Any, name: str) -> Any:
    steps = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
    count, rest = divmod(value * steps[found.unit], steps[named(name).unit or ""])
    if rest or not -(2**63) <= count < 2**63:
        raise ValueError(f"{value} for {name}")
    return count


def _as_bytes(found: pa.DataType, value: Any, name: str) -> Any:
    if named(name).size not in (None, len(value)):
        raise ValueError(f"{value} for {name}")
    return value


def _as_decimal(found: pa.DataType, value: Any, name: str) -> Any:
    declared = named(name).arrow
    scaled = Fraction(value) * 10**declared.scale
    if scaled.denominator != 1 or abs(scaled) >= 10**declared.precision:
        raise ValueError(f"{value} for {name}")
    return Decimal(value)


EXPECTED: dict[tuple[str, str], Callable[[pa.DataType, Any, str], Any]] = {
    ("bool", "bool"): _as_itself,
    ("text", "text"): _as_itself,
    ("bytes", "bytes"): _as_bytes,
    ("integer", "decimal"): _as_decimal,
    ("decimal", "decimal"): _as_decimal,
    ("duration", "duration"): _as_time,
    ("interval", "interval"): _as_itself,
    ("bool", "integer"): _as_integer,
    ("integer", "integer"): _as_integer,
    ("bool", "float"): _integer_as_float,
    ("integer", "float"): _integer_as_float,
    ("float", "float"): _float_as_float,
    ("date", "date"): _as_date,
}


def wanted(found: pa.DataType, value: Any, name: str) -> Any:
    """The value as stored in a declared type, computed independently of the code under test.

    Raises ValueError where the value must be refused.
    """
    one, other = family(str(found)), family(name)
    if one == "null":
        return None
    if one == other and one.startswith("time"):
        return _as_time(found, value, name)
    if (one, other) not in EXPECTED:
        raise ValueError(f"{found} for {name}")
    return EXPECTED[one, other](found, value, name)


@functools.cache
def cases(name: str) -> tuple[Case, ...]:
    """All values of all types, for a declared type."""
    made: list[Case] = []
    for found, values in SOURCES.items():
        for value in values:
            try:
                made.append(Case(found, value, name, ("fits", wanted(found, value, name))))
            except ValueError:
                made.append(Case(found, value, name, None))
    return tuple(made)


def by_type(name: str) -> Iterator[tuple[pa.DataType, list[Case], list[Case]]]:
    """For each type, the values that fit the declared type, and those that do not."""
    for found in SOURCES:
        mine = [case for case in cases(name) if case.found == found]
        yield (
            found,
            [case for case in mine if case.stored],
            [case for case in mine if not case.stored],
        )


def parameter(name: str, nullable: bool = True) -> Parameter:
    return Parameter("x", named(name), nullable, position=2)


def python_of(case: Case) -> Any:
    """The value as a Python object; None where Python has none."""
    one = family(str(case.found))
    if (
        one in ("bool", "integer", "text", "bytes", "interval", "decimal")
        or str(case.found) == "double"
    ):
        return case.value
    if one == "date" and abs(case.value) < 10**6:
        return (
            datetime.date(1970, 1, 1) + datetime.timedelta(days=case.value)
            if str(case.found).startswith("date32")
            else None
        )
    if one in ("time of day", "duration") and case.found.unit == "us":
        length = datetime.timedelta(microseconds=case.value)
        return length if one == "duration" else (datetime.datetime.min + length).time()
    if one in ("time", "time with a zone") and case.found.unit == "us" and abs(case.value) < 2**60:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=case.value)
        return moment if case.found.tz is None else moment.replace(tzinfo=datetime.UTC)
    return None


def column(name: object, value: Any, **options: bool) -> pa.Array:
    """An argument as a column of a declared type."""
    return columns_of("f", [Parameter("x", declared(name), True, position=1)], [value], **options)[
        0
    ][0]
