"""Slots: what C needs to know of a parameter or result to take its values out of rows and columns
and to put them there.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
from _udfvm_arguments import Parameter
from _udfvm_column_types import column_type
from _udfvm_conversions import is_missing
from _udfvm_json import to_json_text
from _udfvm_nested_values import json_reader, json_writer
from _udfvm_signature import Parameters, Signature
from _udfvm_value_type import Converter, python_bool
from _udfvm_value_types import is_nested, storage_of, value_type

#: The storage; whether null is allowed; whether the stored value is Python's; else what converts
#: it: of a parameter what is stored, of a result what the function returned, which C also asks for
#: where it does not take a value as it is; and what makes, of the exception of a parameter's
#: conversion and the row, the one that names the parameter.
Slot = tuple[int, bool, bool, Callable[..., Any] | None, Callable[..., BaseException] | None]


def decoder_of(name: str) -> Converter | None:
    """Returns the conversion of a stored value to Python's; None if both are the same."""
    return json_reader(name) if is_nested(name) else value_type(name).decode


def encoder_of(name: str) -> Converter:
    """Returns the conversion of a returned value to the stored one."""
    return json_writer(name) if is_nested(name) else value_type(name).encode


def refuse_none(encode: Converter) -> Converter:
    """Returns the same conversion for results that are not declared to allow None."""

    def refusing(value: object) -> object:
        if value is None or is_missing(value):
            raise TypeError(
                "the function returned None, but its result is not declared to allow it: annotate"
                " the result `... | None`"
            )
        return encode(value)

    return refusing


# ---- Rows and record batches, which store declared types ----


def parameter_slots(parameters: Parameters) -> tuple[Slot, ...]:
    """Returns the slots of parameters."""
    return tuple(map(_parameter_slot, parameters.in_errors, parameters.nullable))


def _parameter_slot(parameter: Parameter, nullable: bool) -> Slot:
    decode = decoder_of(parameter.type)
    return storage_of(parameter.type), nullable, decode is None, decode, parameter.refuse


def returned_slot(signature: Signature) -> Slot:
    """Returns the slot of the result."""
    name, nullable = signature.result, signature.result_nullable
    encode = encoder_of(name)
    return (
        storage_of(name),
        nullable,
        decoder_of(name) is None,
        encode if nullable else refuse_none(encode),
        None,
    )


# ---- Expressions in SQL, whose values have any type ----

AnySlot = tuple[int, bool, bool, Callable[..., Any] | None, None, bool]


def any_slot(*, nullable: bool) -> AnySlot:
    """Returns the slot of a value that has its own type: of a parameter, and of the result."""
    return _udfvm_agent.STORAGE_NULL, nullable, True, _stored_as_any, None, True


_AS_ANY: Final[tuple[tuple[Any, Converter], ...]] = (
    (dict | list, to_json_text),
    (tuple, lambda value: to_json_text(list(value))),
    (bytearray | memoryview, bytes),
    (numbers.Integral, int),
    (numbers.Real, float),
)


def _stored_as_any(value: object) -> object:
    """Returns what SQL stores for a value that is none of bool, int, float, str and bytes."""
    plain = None if is_missing(value) else python_bool(value)
    if plain is None or isinstance(plain, bool):
        return plain
    for classes, convert in _AS_ANY:
        if isinstance(plain, classes):
            return convert(plain)
    if hasattr(plain, "isoformat"):  # dates and times
        return str(plain.isoformat())
    if type(plain).__name__ == "Decimal":
        return str(plain)
    raise TypeError(
        f"the expression gave {type(value).__name__}, which SQL has no value for: make it a number,"
        " text or bytes, as by str()"
    )


# ---- Column batches, which store column types ----


def column_slots(parameters: Parameters) -> tuple[Slot, ...]:
    """Returns the slots of parameters in column batches."""
    return tuple(map(column_slot, parameters.types, parameters.nullable, parameters.in_errors))


def column_slot(name: str, nullable: bool, parameter: Parameter | None = None) -> Slot:
    """Returns the slot of a column of a request. Errors name it by the parameter."""
    convert = _narrowing(name) or decoder_of(name)
    refuse = None if parameter is None else parameter.refuse
    return storage_of(column_type(name)), nullable, convert is None, convert, refuse


def result_slot(name: str, nullable: bool) -> Slot:
    """Returns the slot of a column of a reply."""
    narrow, encode = _narrowing(name), encoder_of(name)
    is_direct = narrow is None and decoder_of(name) is None
    if narrow is not None and name != "float":  # floats are narrow when they are encoded
        encode = _narrowed(encode, narrow)
    return (
        storage_of(column_type(name)),
        nullable,
        is_direct,
        encode if nullable else refuse_none(encode),
        None,
    )


def _narrowed(encode: Converter, narrow: Converter) -> Converter:
    return lambda value: narrow(encode(value))


def _narrowing(name: str) -> Converter | None:
    return None if is_nested(name) else value_type(name).narrow
