"""Types that hold no other: how each is stored, and what its values are in Python and in JSON.

``_FAMILIES`` is the one table: a new type is an entry of it. Families are those of the host's
table of conversions, which has udfvm/codec/value_codecs.py as the counterpart of this.

Types are strict: a result must have the declared type. Integers are accepted for floats, and numpy
scalars for the Python types that they represent.
"""

from __future__ import annotations

import json
import math
import numbers
import operator
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
from _udfvm_conversions import (
    FIXED_BINARY,
    Loss,
    exact_float,
    family,
    integer_range,
    short,
    surrogate_of,
)
from _udfvm_json import from_json_text, to_json_text
from _udfvm_time_types import (
    date_type,
    duration_type,
    interval_type,
    time_of_day_type,
    timestamp_type,
)
from _udfvm_value_type import (
    ValueType,
    expect,
    lossy_result,
    python_bool,
    unless_exact,
    wrong_result,
)

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

#: How rows store what C has no storage for in record batches, which go through pyarrow.
_ROW_STORAGES: Final = {
    "float": _udfvm_agent.STORAGE_FLOAT64,
    "bytes": _udfvm_agent.STORAGE_BYTES32,
    "time of day": _udfvm_agent.STORAGE_TEXT32,
    "interval": _udfvm_agent.STORAGE_TEXT32,
    "decimal": _udfvm_agent.STORAGE_TEXT32,
    "list": STORAGES["json"],
    "struct": STORAGES["json"],
    "map": STORAGES["json"],
    "union": STORAGES["json"],
}


def is_nested(name: str) -> bool:
    """Returns True for lists, structs, maps and unions."""
    return family(name) in ("list", "struct", "map", "union")


def in_pyarrow(name: str) -> bool:
    """Returns True for types whose record batches go through pyarrow: C has no storage for them."""
    return name not in STORAGES and family(name) in _ROW_STORAGES


def storage_of(name: str) -> int:
    """Returns how Arrow stores a type; for those of ``in_pyarrow``, how rows do."""
    if name in STORAGES:
        return STORAGES[name]
    return _ROW_STORAGES.get(family(name), STORAGES["int64"])  # timestamps, durations


def value_type(name: str) -> ValueType:
    """Returns a type that holds no other type, by its name."""
    return _FAMILIES[family(name)](name)


# ---- Null and bool ----


def _null(name: str) -> ValueType:
    def encode(value: object) -> object:
        raise wrong_result(value, "null")

    return ValueType(encode, encode, encode, _udfvm_agent.TYPE_NULL)


def _bool(name: str) -> ValueType:
    check = unless_exact(bool, _encode_bool)
    return ValueType(_encode_bool, check, _bool_from_json, _udfvm_agent.TYPE_BOOL)


def _encode_bool(value: object) -> bool:
    value = python_bool(value)
    if isinstance(value, bool):
        return value
    raise wrong_result(value, "bool")


def _bool_from_json(value: Any) -> bool:
    if value not in (False, True) or isinstance(value, float):  # SQL has 0 and 1
        raise TypeError(f"expected true or false in JSON, got {json.dumps(value)[:40]}")
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
        number = expect(value, (int, float), "an integer")
        if not math.isfinite(number) or number != int(number) or not smallest <= number <= largest:
            raise ValueError(
                f"expected an integer from {smallest} to {largest} in JSON, got {number}"
            )
        # Parsing to a float may have changed the integer.
        if isinstance(number, float) and abs(number) >= 2**53:
            raise ValueError(
                f"expected an integer in JSON, got {number}: write it without a fraction or"
                " exponent"
            )
        return int(number)

    has_64_bits = name.endswith("64")
    return ValueType(_encode_integer, check, from_json, narrow=None if has_64_bits else narrow)


def _encode_integer(value: object) -> int:
    try:
        return int(operator.index(python_bool(value)))
    except TypeError:
        raise wrong_result(value, "int") from None


def _out_of_range(value: float, name: str) -> OverflowError:
    error = OverflowError(f"{short(value)} is out of the range of its declared type, {name}")
    vars(error)["of_argument"] = f"is {short(value)}, out of the range of {name}"
    return error


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
        number = exact_float(expect(value, (int, float), "a number"), name)
        if math.isinf(number):
            raise ValueError("the number in JSON is too large")
        return number

    def narrow(value: float) -> float:
        """Rounds an argument to the nearest float of the type."""
        try:
            return exact_float(value, name)
        except Loss:
            raise _out_of_range(value, name) from None

    is_narrow = name != "double"
    return ValueType(
        encode,
        encode if is_narrow else unless_exact(float, encode),
        from_json,
        _udfvm_agent.TYPE_FLOAT64,
        decode=narrow if name == "halffloat" else None,  # C knows no such floats
        narrow=narrow if is_narrow else None,
    )


# ---- Text and bytes ----


def _text(name: str) -> ValueType:
    if name == "json":
        return ValueType(
            to_json_text, to_json_text, _text_from_json, _udfvm_agent.TYPE_TEXT, from_json_text
        )
    check = unless_exact(str, _encode_text)
    return ValueType(_encode_text, check, _text_from_json, _udfvm_agent.TYPE_TEXT)


def _encode_text(value: object) -> str:
    if isinstance(value, str):  # ignores methods of a subclass
        return str.__str__(value)
    raise wrong_result(value, "str")


def _text_from_json(value: Any) -> str:
    text: str = expect(value, str, "text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # an escape can make a lone surrogate
            raise ValueError(f"the text in JSON {surrogate_of(error)}") from None
    return text


def _bytes(name: str) -> ValueType:
    if size := FIXED_BINARY.fullmatch(name):
        return _fixed_bytes(int(size[1]))
    check = unless_exact(bytes, _encode_bytes)
    return ValueType(_encode_bytes, check, _bytes_from_json, _udfvm_agent.TYPE_BLOB)


def _fixed_bytes(size: int) -> ValueType:
    def checked(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"expected fixed_size_binary[{size}], got a length of {len(value)}")
        return value

    def encode(value: object) -> bytes:
        return checked(_encode_bytes(value))

    return ValueType(
        encode,
        encode,
        lambda value: checked(_bytes_from_json(value)),
        _udfvm_agent.TYPE_BLOB,
        checked,
    )


def _encode_bytes(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(memoryview(value))
    raise wrong_result(value, "bytes")


def _bytes_from_json(value: Any) -> bytes:
    return bytes.fromhex(expect(value, str, "hexadecimal digits"))


# ---- Decimals ----


def _decimal(name: str) -> ValueType:
    import decimal  # for such types alone

    from _udfvm_decimals import decimal_from_text, exact_decimal, text_from_decimal

    def check(value: object) -> decimal.Decimal:
        value = python_bool(value)
        if not isinstance(value, (decimal.Decimal, int)) or isinstance(value, bool):
            raise wrong_result(value, "decimal.Decimal")
        try:
            return exact_decimal(value, name)
        except Loss as loss:
            raise lossy_result(loss) from None

    def decode(text: str) -> decimal.Decimal:
        return decimal_from_text(text, name)

    def from_json(value: Any) -> decimal.Decimal:
        return decode(str(expect(value, (str, int), "a decimal in text")))

    return ValueType(
        lambda value: text_from_decimal(check(value)),
        check,
        from_json,
        _udfvm_agent.TYPE_TEXT,
        decode,
    )


_FAMILIES: Final[dict[str, Callable[[str], ValueType]]] = {
    "null": _null,
    "bool": _bool,
    "integer": _integer,
    "float": _float,
    "text": _text,
    "bytes": _bytes,
    "date": date_type,
    "time": timestamp_type,
    "time with a zone": timestamp_type,
    "time of day": time_of_day_type,
    "duration": duration_type,
    "interval": interval_type,
    "decimal": _decimal,
}
