"""Arguments and results of host functions: how each type travels in rows. Lists, structs, maps and
unions are Arrow streams of one value, as columns of them are in column batches.
"""

from __future__ import annotations

import numbers
import operator
from typing import Any, Final, NamedTuple

from _udfvm_agent import TYPE_ARROW, TYPE_BLOB, TYPE_BOOL, TYPE_FLOAT64, TYPE_NULL, TYPE_TEXT
from _udfvm_conversions import exact_float, family
from _udfvm_layouts import INTEGER, REAL, VALUE
from _udfvm_value_type import Converter, python_bool
from _udfvm_value_types import value_type


class HostValue(NamedTuple):
    """A type of arguments and results.

    Attributes:
        row: how rows store it (``TYPE_x``).
        expected: the name of the type in errors.
        encode: makes what is stored of a value: an integer, a float or bytes. It raises TypeError,
            ValueError or OverflowError.
        decode: makes a value of an integer, a float, a text or bytes; None where it is that.
    """

    row: int
    expected: str
    encode: Converter
    decode: Converter | None

    def packed(self, stored: Any, offset: int) -> bytes:
        """Returns ``struct udfvm_value`` of what is stored; bytes will lie at the offset."""
        if isinstance(stored, bytes):
            return VALUE.pack(self.row, len(stored), offset)
        return (REAL if self.row == TYPE_FLOAT64 else INTEGER).pack(self.row, 0, stored)

    def unpacked(self, reply: bytes) -> Any:
        """Returns the value in a ``struct udfvm_value`` of the host."""
        row_type, length, offset = VALUE.unpack_from(reply)
        if row_type == TYPE_NULL:
            return None
        value: Any
        if row_type == TYPE_FLOAT64:
            value = REAL.unpack_from(reply)[2]
        elif row_type in _WITH_BYTES:
            value = reply[offset : offset + length]
            if row_type == TYPE_TEXT:
                value = value.decode()
        else:
            value = INTEGER.unpack_from(reply)[2]
            if row_type == TYPE_BOOL:
                value = bool(value)
        return value if self.decode is None else self.decode(value)


_WITH_BYTES: Final = frozenset({TYPE_TEXT, TYPE_BLOB, TYPE_ARROW})


def host_value(description: dict[str, Any]) -> HostValue:
    """Returns the type that the host describes."""
    name: str = description["type"]
    if schema := description["schema"]:
        from _udfvm_column_streams import ValueStream

        stream = ValueStream(name, bytes.fromhex(schema))
        return HostValue(TYPE_ARROW, name, stream.encode, stream.decode)
    type_ = value_type(name)
    if name != "json" and family(name) in _SIMPLE:
        expected, encode = _SIMPLE[family(name)]
        return HostValue(type_.row, expected, encode, None)
    if type_.row == TYPE_TEXT:
        return HostValue(type_.row, name, lambda value: type_.encode(value).encode(), type_.decode)
    return HostValue(type_.row, name, type_.encode, type_.decode)


def _real(value: Any) -> float:
    if type(value) is float:
        return value
    value = python_bool(value)
    if not isinstance(value, numbers.Real):
        raise TypeError
    return exact_float(value, "double")


def _integer(value: Any) -> int:
    return operator.index(python_bool(value))


def _bool(value: Any) -> bool:
    value = python_bool(value)
    if not isinstance(value, bool):
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError
    return bytes(memoryview(value))


_SIMPLE: Final[dict[str, tuple[str, Converter]]] = {
    "float": ("float", _real),
    "integer": ("int", _integer),
    "bool": ("bool", _bool),
    "text": ("str", str.encode),
    "bytes": ("bytes", _bytes),
}
