"""Column batches (struct udfvm_columns): how they store each declared type.

They have five types only. Narrower integers, dates and times are stored as int64, and float32 as
double.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
from _udfvm_agent import STATUS_OK
from _udfvm_nested import shown
from _udfvm_report import report
from _udfvm_scalar import codec_of, refuse_none
from _udfvm_signature import Parameters, Signature
from _udfvm_types import is_nested, storage_of

Slot = tuple[int, bool, bool, Callable[..., Any] | None, str | None]

_NARROW: Final = re.compile(r"(u?)int(8|16|32)")
_FLOAT: Final = struct.Struct("<f")


def column_type(name: str) -> str:
    """Returns the type that stores a declared type in columns."""
    if name in ("bool", "double"):
        return name
    if name == "float":
        return "double"
    if name == "json" or is_nested(name) or name.endswith("string"):
        return "large_string"
    return "large_binary" if name.endswith("binary") else "int64"


def argument_slots(parameters: Parameters) -> tuple[Slot, ...]:
    """Returns the slots of parameters. Errors name the argument."""
    return tuple(map(argument_slot, parameters.types, parameters.nullable, parameters.labels))


def argument_slot(type_: str, nullable: bool, label: str | None = None) -> Slot:
    """The slot of a parameter."""
    check = _narrowing(type_)
    codec = codec_of(type_)
    return (
        storage_of(column_type(type_)),
        nullable,
        codec.direct and check is None,
        check or codec.decode,
        label,
    )


def result_slot(name: str, nullable: bool) -> Slot:
    """The slot of a result."""
    check = _narrowing(name)
    codec = codec_of(name)
    encode = codec.encode
    if check is not None and name != "float":

        def encode_checked(value: object) -> object:
            return check(codec.encode(value))

        encode = encode_checked
    return (
        storage_of(column_type(name)),
        nullable,
        codec.direct and check is None,
        encode if nullable else refuse_none(encode),
        None,
    )


def _narrowing(name: str) -> Callable[[Any], Any] | None:
    """Returns the conversion of a value of 64 bits to a narrower type; None for other types."""
    if name == "float":
        return _to_float32
    match = _NARROW.fullmatch(name)
    if match is None:
        return None
    bits = int(match[2])
    smallest, largest = (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def check(value: int) -> int:
        if not smallest <= value <= largest:
            raise OverflowError(f"{shown(value)} is out of the range of its declared type, {name}")
        return value

    return check


def _to_float32(value: float) -> float:
    """Rounds an argument to the nearest float of 32 bits."""
    try:
        rounded: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    except OverflowError:
        raise OverflowError(f"{value} is out of the range of its declared type, float") from None
    return rounded


def scalar_columns(
    function: Callable[..., object], signature: Signature
) -> Callable[[], tuple[int, int]]:
    """Returns what answers COLUMNS for a scalar function."""
    slots = argument_slots(signature.parameters)
    columns = _udfvm_agent.ColumnBatch(slots, ())
    callee = _udfvm_agent.ScalarFunction(
        function, slots, result_slot(signature.result, signature.result_nullable)
    )

    def answer() -> tuple[int, int]:
        try:
            return STATUS_OK, columns.map(callee, 0)
        except BaseException as exception:  # noqa: BLE001 - the caller gets whatever the function raises
            return report(exception, columns.row)

    return answer
