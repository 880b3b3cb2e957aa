"""Types that hold no other: how each is stored, and what its values are in Python and in JSON.

``_FAMILIES`` is the one table: a new type is an entry of it. Families are those of the host's
table of conversions, which has udfvm/codec/value_codecs.py as the counterpart of this.

Types are strict: a result must have the declared type. Integers are accepted for floats, and numpy
scalars for the Python types that they represent.
"""

from __future__ import annotations

import datetime
import json
import math
import numbers
import operator
import re
import sys
import zoneinfo  # noqa: F401 - for the base image: _udfvm_temporal imports it where a type has a zone
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import _udfvm_agent
from _udfvm_conversions import FLOAT32, Loss, exact_float, family, integer_range, is_missing, short
from _udfvm_json import from_json_text, to_json_text
from _udfvm_temporal import (
    DAY_MILLISECONDS,
    MICROSECONDS,
    count_from_datetime,
    date_from_days,
    datetime_reader,
    days_from_date,
    in_utc,
    timestamp_parts,
)

Converter = Callable[[Any], Any]

STORAGES: Final = {
    "bool": _udfvm_agent.STORAGE_BOOL,
    "int8": _udfvm_agent.STORAGE_INT8,
    "int16": _udfvm_agent.STORAGE_INT16,
    "int32": _udfvm_agent.STORAGE_INT32,
    "int64": _udfvm_agent.STORAGE_INT64,
    "uint8": _udfvm_agent.STORAGE_UINT8,
    "uint16": _udfvm_agent.STORAGE_UINT16,
    "uint32": _udfvm_agent.STORAGE_UINT32,
    "uint64": _udfvm_agent.STORAGE_UINT64,
    "float": _udfvm_agent.STORAGE_FLOAT32,
    "double": _udfvm_agent.STORAGE_FLOAT64,
    "string": _udfvm_agent.STORAGE_TEXT32,
    "large_string": _udfvm_agent.STORAGE_TEXT64,
    "binary": _udfvm_agent.STORAGE_BYTES32,
    "large_binary": _udfvm_agent.STORAGE_BYTES64,
    "null": _udfvm_agent.STORAGE_NULL,
    "json": _udfvm_agent.STORAGE_TEXT32,
    "date32[day]": _udfvm_agent.STORAGE_INT32,
    "date64[ms]": _udfvm_agent.STORAGE_INT64,
}

_NANOSECONDS: Final = re.compile(r"[.,]\d{6}\d*[1-9]")  # in the text of a time


class ValueType(NamedTuple):
    """A type that holds no other. Functions raise TypeError, ValueError or OverflowError.

    Attributes:
        encode: makes what is stored of a value that a function returned. C does so itself where it
            takes the value as it is, unless there is ``decode``.
        check: makes a plain Python value of the type of a value that a function returned; a date
            stays a date.
        from_json: makes a value of what JSON has for it.
        row: how rows store it (``TYPE_x``).
        decode: makes a value of what is stored; None where C does.
        narrow: checks a value of the wider type that column batches have; None where theirs is not
            wider.
    """

    encode: Converter
    check: Converter
    from_json: Converter
    row: int = _udfvm_agent.TYPE_INT64
    decode: Converter | None = None
    narrow: Converter | None = None


def is_nested(name: str) -> bool:
    """Returns True for lists and structs."""
    return family(name) in ("list", "struct")


def storage_of(name: str) -> int:
    """Returns how Arrow stores a type; for lists and structs, how it stores their JSON in rows."""
    if is_nested(name):
        return STORAGES["json"]
    return STORAGES["int64"] if timestamp_parts(name) else STORAGES[name]


def value_type(name: str) -> ValueType:
    """Returns a type that holds no other type, by its name."""
    return _FAMILIES[family(name)](name)


def wrong_result(value: object, declared: str) -> TypeError:
    """Returns the error for a result that does not have its declared type."""
    return TypeError(
        f"the function returned {type(value).__name__}, but its result is declared {declared}"
    )


def python_bool(value: Any) -> Any:
    """Returns numpy's bool, which is not a number, as Python's, which is."""
    numpy = sys.modules.get("numpy")
    return bool(value) if numpy is not None and isinstance(value, numpy.bool_) else value


def _unless_exact(class_: type, encode: Converter) -> Converter:
    """Returns a check that keeps instances of a class itself and encodes other values."""
    return lambda value: value if type(value) is class_ else encode(value)


def _expect(value: Any, classes: type | tuple[type, ...], described: str) -> Any:
    """A value in JSON, which must be an instance of one of the classes, and no bool."""
    if not isinstance(value, classes) or isinstance(value, bool):
        raise TypeError(f"{json.dumps(value)[:40]} in JSON where {described} is declared")
    return value


# ---- Null and bool ----


def _null(name: str) -> ValueType:
    def encode(value: object) -> object:
        raise wrong_result(value, "null")

    return ValueType(encode, encode, encode, _udfvm_agent.TYPE_NULL)


def _bool(name: str) -> ValueType:
    check = _unless_exact(bool, _encode_bool)
    return ValueType(_encode_bool, check, _bool_from_json, _udfvm_agent.TYPE_BOOL)


def _encode_bool(value: object) -> bool:
    value = python_bool(value)
    if isinstance(value, bool):
        return value
    raise wrong_result(value, "bool")


def _bool_from_json(value: Any) -> bool:
    if value not in (False, True) or isinstance(value, float):  # SQL has 0 and 1
        raise TypeError(f"{json.dumps(value)[:40]} in JSON where true or false is declared")
    return bool(value)


# ---- Numbers ----


def _integer(name: str) -> ValueType:
    smallest, largest = integer_range(name)

    def narrow(value: int) -> int:
        if not smallest <= value <= largest:
            raise _out_of_range(value, name)
        return value

    def check(value: object) -> int:
        integer = _encode_integer(value)
        if not smallest <= integer <= largest:
            raise _out_of_range(integer, name)
        return integer

    def from_json(value: Any) -> int:
        number = _expect(value, (int, float), "an integer")
        if not math.isfinite(number) or number != int(number) or not smallest <= number <= largest:
            raise ValueError(
                f"{number} in JSON where an integer from {smallest} to {largest} is declared"
            )
        # Parsing to a float may have changed the integer.
        if isinstance(number, float) and abs(number) >= 2**53:
            raise ValueError(
                f"{number} in JSON where an integer is declared: write it without a fraction or"
                " exponent"
            )
        return int(number)

    is_wide = name.endswith("64")
    return ValueType(_encode_integer, check, from_json, narrow=None if is_wide else narrow)


def _encode_integer(value: object) -> int:
    try:
        return int(operator.index(python_bool(value)))
    except TypeError:
        raise wrong_result(value, "int") from None


def _out_of_range(value: float, name: str) -> OverflowError:
    return OverflowError(f"{short(value)} is out of the range of its declared type, {name}")


def _float(name: str) -> ValueType:
    def encode(value: object) -> float:
        value = python_bool(value)
        if not isinstance(value, numbers.Real):
            raise wrong_result(value, "float")
        try:
            return exact_float(value, name)
        except Loss as loss:
            raise OverflowError(
                f"the function returned a value that its declared result type cannot hold: {loss}"
            ) from None

    def from_json(value: Any) -> float:
        number = exact_float(_expect(value, (int, float), "a number"), name)
        if math.isinf(number):
            raise ValueError("a number in JSON that is too large")
        return number

    is_narrow = name == "float"
    return ValueType(
        encode,
        encode if is_narrow else _unless_exact(float, encode),
        from_json,
        _udfvm_agent.TYPE_FLOAT64,
        narrow=_narrow_float if is_narrow else None,
    )


def _narrow_float(value: float) -> float:
    """Rounds an argument to the nearest float of 32 bits."""
    try:
        nearest: float = FLOAT32.unpack(FLOAT32.pack(value))[0]
    except OverflowError:
        raise _out_of_range(value, "float") from None
    return nearest


# ---- Text and bytes ----


def _text(name: str) -> ValueType:
    if name == "json":
        return ValueType(
            to_json_text, to_json_text, _text_from_json, _udfvm_agent.TYPE_TEXT, from_json_text
        )
    check = _unless_exact(str, _encode_text)
    return ValueType(_encode_text, check, _text_from_json, _udfvm_agent.TYPE_TEXT)


def _encode_text(value: object) -> str:
    if isinstance(value, str):  # ignores methods of a subclass
        return str.__str__(value)
    raise wrong_result(value, "str")


def _text_from_json(value: Any) -> str:
    text: str = _expect(value, str, "text")
    if not text.isascii():
        text.encode()  # fails for a lone surrogate, which an escape can make
    return text


def _bytes(name: str) -> ValueType:
    check = _unless_exact(bytes, _encode_bytes)
    return ValueType(_encode_bytes, check, _bytes_from_json, _udfvm_agent.TYPE_BLOB)


def _encode_bytes(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(memoryview(value))
    raise wrong_result(value, "bytes")


def _bytes_from_json(value: Any) -> bytes:
    return bytes.fromhex(_expect(value, str, "hexadecimal digits"))


# ---- Dates and times ----


def _checked_by(encode: Converter) -> Converter:
    """Returns a check that keeps values that can be stored, and returns None for null."""
    return lambda value: value if encode(value) is not None else None


def _date(name: str) -> ValueType:
    encode: Converter = _encode_date
    decode: Converter = date_from_days
    if name == "date64[ms]":
        encode, decode = _milliseconds_from_date, _date_from_milliseconds
    return ValueType(encode, _checked_by(encode), _date_from_json, decode=decode)


def _encode_date(value: object) -> int | None:
    if is_missing(value):
        return None
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise wrong_result(value, "datetime.date")
    return days_from_date(value)


def _milliseconds_from_date(value: object) -> int | None:
    days = _encode_date(value)
    return None if days is None else days * DAY_MILLISECONDS


def _date_from_milliseconds(milliseconds: int) -> datetime.date:
    return date_from_days(milliseconds // DAY_MILLISECONDS)


def _date_from_json(value: Any) -> datetime.date:
    return datetime.date.fromisoformat(_expect(value, str, "a date in text"))


def _timestamp(name: str) -> ValueType:
    unit, zone = timestamp_parts(name) or ("us", None)

    def encode(value: object) -> int | None:
        if is_missing(value):
            return None
        if not isinstance(value, datetime.datetime):
            raise wrong_result(value, "datetime.datetime")
        if (value.utcoffset() is None) != (zone is None):
            found, wanted = ("a naive", "aware") if zone is not None else ("an aware", "naive")
            raise TypeError(
                f"the function returned {found} datetime, but its result is declared {wanted}"
                f" ({unit}, time zone {zone})"
            )
        try:
            return count_from_datetime(value if zone is None else in_utc(value), unit)
        except Loss as loss:
            raise ValueError(
                f"the function returned a datetime that is {loss}, its declared unit"
            ) from None

    def from_json(value: Any) -> datetime.datetime:
        return _datetime_from_json(value, unit, zone)

    return ValueType(encode, _checked_by(encode), from_json, decode=_datetime_decoder(unit, zone))


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
    moment = datetime.datetime.fromisoformat(_expect(value, str, "a time in text"))
    if (moment.utcoffset() is not None) != (zone is not None):
        raise ValueError(
            f"{value!r} in JSON where a time {'without' if zone is None else 'with'} an offset is"
            " declared"
        )
    if moment.microsecond % MICROSECONDS.get(unit, 1) or _NANOSECONDS.search(value):
        raise ValueError(
            f"{value!r} in JSON where a whole number of {unit} is declared, or of microseconds,"
            " which datetime.datetime has"
        )
    return moment


_FAMILIES: Final[dict[str, Callable[[str], ValueType]]] = {
    "null": _null,
    "bool": _bool,
    "integer": _integer,
    "float": _float,
    "text": _text,
    "bytes": _bytes,
    "date": _date,
    "time": _timestamp,
    "time with a zone": _timestamp,
}
