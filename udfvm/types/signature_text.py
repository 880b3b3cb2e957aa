"""Signatures as text, and the types that compiled code takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from udfvm import protocol
from udfvm.errors import SignatureError
from udfvm.types.arrow_types import JSON, Kind, Parameter, ResultType, Type, declared
from udfvm.types.nested import at_colon, split_at_commas, take_apart
from udfvm.types.signatures import Signature
from udfvm.types.type_names import SHORT_NAMES

MAX_PARAMETERS: Final = 32

# The types that compiled code takes.
STORAGE_NAMES: Final = {
    protocol.STORAGE_BOOL: "bool",
    protocol.STORAGE_INT8: "int8",
    protocol.STORAGE_INT16: "int16",
    protocol.STORAGE_INT32: "int32",
    protocol.STORAGE_INT64: "int64",
    protocol.STORAGE_UINT8: "uint8",
    protocol.STORAGE_UINT16: "uint16",
    protocol.STORAGE_UINT32: "uint32",
    protocol.STORAGE_UINT64: "uint64",
    protocol.STORAGE_FLOAT32: "float",
    protocol.STORAGE_FLOAT64: "double",
    protocol.STORAGE_TEXT32: "string",
    protocol.STORAGE_TEXT64: "large_string",
    protocol.STORAGE_BYTES32: "binary",
    protocol.STORAGE_BYTES64: "large_binary",
}
_STORAGES: Final = {name: number for number, name in STORAGE_NAMES.items()}
# Types whose names follow the slots.
_NESTED: Final = {
    protocol.STORAGE_STRUCT: Kind.STRUCT,
    protocol.STORAGE_LIST: Kind.LIST,
}
# The types that those may hold.
_HELD: Final = {
    *_STORAGES,
    "date32[day]",
    *(f"timestamp[{unit}]" for unit in ("s", "ms", "us", "ns")),
}
_SIGNATURE: Final = re.compile(r"\s*\((.*)\)\s*->\s*(.+?)\s*", re.DOTALL)
# A name and a type without a colon between them.
_NAMED: Final = re.compile(r"([^\W\d]\w*)\s+(\w.*)", re.DOTALL)


def parse_signature(
    name: str, text: str, *, compiled: bool = True, names: Sequence[str] = ()
) -> Signature:
    """Parses a signature such as ``"(a: f64, b: i64?) -> text?"``.

    Parameters need no names. The colon may be left out, as in SQL: ``(a f64, b i64?) -> text?`` is
    the same. ``?`` allows null. Types are those of ``udfvm.h`` (``i8`` ... ``i64``, ``u8`` ...
    ``u64``, ``f32``, ``f64``, ``bool``, ``text``, ``blob``) and their other names
    (``udfvm/types/type_names.py``), and dates and timestamps by pyarrow's names, which are integers
    in the code. ``udfvm.h`` and WebAssembly also have lists and structs of these, ``list<f64>`` and
    ``struct<x: f64, tags: list<text>>``. WebAssembly has ``large_string`` and ``large_binary``,
    too. Code that is not ``compiled`` has all types, and ``json`` as the result. ``names`` are
    those of parameters that the text does not name. Raises SignatureError.

    >>> signature = parse_signature("score", "(f64, distance: f64?) -> f64")
    >>> [(each.name, str(each.type), each.nullable) for each in signature.parameters]
    [('a0', 'double', False), ('distance', 'double', True)]
    """
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise SignatureError(
            f"UDF {name!r}: signature={text!r} is not of the form '(a: f64, b: i64?) -> f64'"
        )
    try:
        parts = split_at_commas(match[1])
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: signature=: {error}") from error
    parameters = []
    for index, part in enumerate(parts):
        label, type_text = _at_name(part.strip())
        if label is None:
            label = names[index] if index < len(names) else f"a{index}"
        parameters.append((label, *_type(name, type_text, compiled)))
    if not compiled and match[2].removesuffix("?").strip() == JSON.name:
        return made_signature(name, parameters, JSON, match[2].endswith("?"), compiled=False)
    return made_signature(name, parameters, *_type(name, match[2], compiled), compiled=compiled)


def _at_name(parameter: str) -> tuple[str | None, str]:
    """Returns the name, None where a parameter has none, and the type."""
    label, colon, type_text = at_colon(parameter)
    if colon:
        return label.strip(), type_text
    match = _NAMED.fullmatch(parameter)
    return (match[1], match[2]) if match else (None, parameter)


def _long_name(short: str) -> str:
    """Returns pyarrow's name of a type that is written with short names."""
    nested = take_apart(short)
    if nested is None:
        return SHORT_NAMES.get(short, short)
    return str(
        nested._replace(
            fields=tuple(field._replace(type=_long_name(field.type)) for field in nested.fields)
        )
    )


def _type(name: str, text: str, compiled: bool) -> tuple[Type, bool]:
    text = text.strip()
    nullable = text.endswith("?")
    try:
        type_ = declared(_long_name(text.rstrip("?").strip()))
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: signature=: {error}") from error
    if compiled:
        storage_of(name, type_)
    return type_, nullable


def storage_of(name: str, type_: Type) -> int:
    """Returns the number of a type's storage. ``name`` is the function's.

    Raises SignatureError for a type that compiled code does not support.
    """
    if type_.kind in (Kind.DATE, Kind.DATETIME):
        return _STORAGES["int32" if type_.name == "date32[day]" else "int64"]
    if type_.is_nested:
        _check_held(name, type_.name)
        return next(number for number, kind in _NESTED.items() if kind is type_.kind)
    if type_.name not in _STORAGES:
        raise SignatureError(
            f"UDF {name!r}: compiled code does not support {type_}; use"
            f" {', '.join(_STORAGES)}, dates and timestamps, or a function in Python, which has all"
            " types"
        )
    return _STORAGES[type_.name]


def _check_held(name: str, type_: str) -> None:
    nested = take_apart(type_)
    if nested is None and type_ not in _HELD:
        raise SignatureError(
            f"UDF {name!r}: lists and structs of compiled code cannot hold {type_}; use"
            f" {', '.join(sorted(_HELD))}, or a function in Python, which has all types"
        )
    if nested is not None and nested.container not in ("list", "struct"):
        raise SignatureError(
            f"UDF {name!r}: compiled code does not support {type_}; use list and struct, or a"
            " function in Python, which has all types"
        )
    if nested is not None and (not nested.fields or nested.has_equal_names):
        raise SignatureError(
            f"UDF {name!r}: compiled code does not support {type_}; use structs with fields of"
            " different names, or a function in Python, which has all types"
        )
    for field in nested.fields if nested else ():
        if "\0" in field.name:
            raise SignatureError(f"UDF {name!r}: {field.name!r} has a NUL character")
        _check_held(name, field.type)


def made_signature(
    name: str,
    parameters: list[tuple[str, Type, bool]],
    result: Type,
    result_nullable: bool,
    *,
    compiled: bool = True,
) -> Signature:
    """Returns a signature of parameters, given by name, type and whether they may be null.

    A name that is a keyword of Python, which is one in no other language, gets an underscore.
    Raises SignatureError.
    """
    if compiled and len(parameters) > MAX_PARAMETERS:
        raise SignatureError(
            f"UDF {name!r}: its signature has {len(parameters)} parameters; compiled code has at"
            f" most {MAX_PARAMETERS}: pass some of them as one struct"
        )
    if not all(label for label, _, _ in parameters):
        raise SignatureError(f"UDF {name!r}: a parameter has an empty name")
    import inspect
    import keyword

    parameters = [
        (f"{label}_" if keyword.iskeyword(label) else label, type_, nullable)
        for label, type_, nullable in parameters
    ]
    try:
        python = inspect.Signature(
            [
                inspect.Parameter(label, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                for label, _, _ in parameters
            ]
        )
    except ValueError as error:
        raise SignatureError(
            f"UDF {name!r}: the names of its parameters are not valid: {error}"
        ) from error
    made = tuple(
        Parameter(*parameter, position=position) for position, parameter in enumerate(parameters, 1)
    )
    return Signature(made, ResultType(result, result_nullable), lambda: python)
