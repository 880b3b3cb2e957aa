"""Lists and structs: parsing their names, checking their values, and reading and writing them as
JSON, which represents them in rows.

Names are as the host writes them: ``list<item: double>``, ``fixed_size_list<item: float>[3]``,
``struct<x: double, at: timestamp[us]>``. JSON has no bytes, dates and times: bytes are hexadecimal
digits, as in SQLite's hex() and unhex(), and the others are ISO 8601.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from _udfvm_conversions import exact_float, integer_range
from _udfvm_types import MICROSECONDS, timestamp_parts

_OPEN: Final = re.compile(r"(?:list|large_list|fixed_size_list|struct)<")
_SIZE: Final = re.compile(r"\[(\d+)\]")
_LEAF: Final = re.compile(r"\w+(?:\[[^\]]*\])?")
_NANOSECONDS: Final = re.compile(r"[.,]\d{6}\d*[1-9]")

Check = Callable[[Any], Any]


class Leaf(NamedTuple):
    """A type that holds no other type."""

    name: str


class ListOf(NamedTuple):
    """A list. ``size`` is None unless it is fixed."""

    item: Tree
    size: int | None


class Struct(NamedTuple):
    """A struct and its fields by name."""

    fields: dict[str, Tree]


Tree = Leaf | ListOf | Struct


def tree_of(name: str) -> Tree:
    """Parses the name of a type."""
    tree, end = _tree_at(name, 0)
    if end != len(name):
        raise ValueError(f"{name} is not the name of a type")
    return tree


def _tree_at(name: str, at: int) -> tuple[Tree, int]:
    match = _OPEN.match(name, at)
    if match is None:
        leaf = _LEAF.match(name, at)
        if leaf is None:
            raise ValueError(f"{name} is not the name of a type")
        return Leaf(leaf[0]), leaf.end()
    fields = {}
    end = match.end()
    while True:
        field, _, _ = name[end:].partition(": ")
        tree, end = _tree_at(name, end + len(field) + 2)
        fields[field] = tree
        if name[end : end + 1] == ">":
            break
        end += len(", ")
    end += 1
    if match[0] == "struct<":
        return Struct(fields), end
    size = _SIZE.match(name, end)
    return ListOf(fields["item"], int(size[1]) if size else None), size.end() if size else end


# ---- Values that a function returned ----


def checked(tree: Tree, leaf: Callable[[str], Check]) -> Check:
    """Returns a function that turns a value, which may be None, into plain Python values of the
    type. It raises TypeError, ValueError or OverflowError.

    ``leaf`` makes such a function for a type that holds no other type. It is not called with None.
    """
    if isinstance(tree, Leaf):
        check = leaf(tree.name)
        return lambda value: None if value is None else check(value)
    if isinstance(tree, ListOf):
        return _checked_list(checked(tree.item, leaf), tree.size)
    return _checked_struct({name: checked(field, leaf) for name, field in tree.fields.items()})


def _checked_list(check: Check, size: int | None) -> Check:
    def check_list(value: Any) -> list[Any] | None:
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            value = _array_as_list(value)
        if size is not None and len(value) != size:
            raise ValueError(f"a list of {len(value)} values where a list of {size} is declared")
        return [check(item) for item in value]

    return check_list


def _array_as_list(value: Any) -> list[Any]:
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        # `tolist` returns integers for nanoseconds.
        items: list[Any] = list(value) if value.dtype.kind in "mM" else value.tolist()
    elif pyarrow is not None and isinstance(value, (pyarrow.Array, pyarrow.ChunkedArray)):
        items = value.to_pylist()
    else:
        raise TypeError(f"{type(value).__name__} where a list is declared")
    return items


def _checked_struct(checks: Mapping[str, Check]) -> Check:
    def check_struct(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            value = _instance_as_mapping(value, checks)
        for key in value:
            if key not in checks:
                raise TypeError(
                    f"a dictionary with {key!r} where one with {', '.join(checks)} is declared"
                )
        return {name: _in_field(name, check, value.get(name)) for name, check in checks.items()}

    return check_struct


def _instance_as_mapping(value: Any, names: Iterable[str]) -> Mapping[str, Any]:
    """Returns the declared fields of an instance of a dataclass or named tuple."""
    cls = type(value)
    is_named_tuple = isinstance(value, tuple) and hasattr(cls, "_fields")
    if is_named_tuple or hasattr(cls, "__dataclass_fields__"):
        missing = next((name for name in names if not hasattr(value, name)), None)
        if missing is None:
            return {name: getattr(value, name) for name in names}
        raise TypeError(f"{cls.__name__} without {missing!r}, where a struct with it is declared")
    raise TypeError(f"{cls.__name__} where a dictionary with {', '.join(names)} is declared")


def _in_field(name: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"in {name!r}: {error}") from None


# ---- JSON ----


def json_reader(tree: Tree) -> Callable[[str], Any]:
    """Returns a function that turns JSON text into a value of the type. It raises TypeError or
    ValueError for other JSON.
    """
    check = checked(tree, _json_leaf)

    return lambda text: check(from_json_text(text))


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def from_json_text(text: str) -> Any:
    """Parses JSON text. Raises ValueError, with the position of the error and without frames of
    ``json``.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None


def json_writer(tree: Tree, leaf: Callable[[str], Check]) -> Callable[[Any], str]:
    """Returns a function that turns a value into JSON text. ``leaf`` is as in checked()."""
    check = checked(tree, leaf)

    def write(value: Any) -> str:
        return to_json_text(check(value), _jsonable)

    return write


def to_json_text(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Returns the JSON text of a result. Raises TypeError or ValueError, without frames of
    ``json``.
    """
    if default is None:
        value, default = _record_as_dict(value), _dataclass_as_dict
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default
        )
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"the function returned a value that JSON cannot represent: {error}") from None


def _record_as_dict(value: Any) -> Any:
    """Returns a named tuple as a dictionary; ``json`` would write a list."""
    return value._asdict() if isinstance(value, tuple) and hasattr(value, "_asdict") else value


def _dataclass_as_dict(value: Any) -> dict[str, Any]:
    if hasattr(type(value), "__dataclass_fields__"):
        fields: dict[str, Any] = sys.modules["dataclasses"].asdict(value)
        return fields
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def shown(integer: int) -> str:
    """Returns an integer for a message: Python refuses to write one of thousands of digits."""
    return (
        str(integer) if integer.bit_length() < 200 else f"an integer of {integer.bit_length()} bits"
    )


def _jsonable(value: Any) -> str:
    return value.hex().upper() if isinstance(value, bytes) else str(value.isoformat())


def _json_leaf(name: str) -> Check:
    if parts := timestamp_parts(name):
        return lambda value: _moment(value, *parts)
    if name in ("float", "double"):
        return lambda value: _json_float(value, name)
    for end, check in _JSON_LEAVES.items():
        if name.endswith(end):
            return check
    smallest, largest = integer_range(name)
    return lambda value: _json_integer(value, smallest, largest)


def _expect(value: Any, kinds: type | tuple[type, ...], what: str) -> Any:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{json.dumps(value)[:40]} in JSON where {what} is declared")
    return value


def _moment(value: Any, unit: str, zone: str | None) -> datetime.datetime:
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


def _json_date(value: Any) -> datetime.date:
    return datetime.date.fromisoformat(_expect(value, str, "a date in text"))


def _json_bytes(value: Any) -> bytes:
    return bytes.fromhex(_expect(value, str, "hexadecimal digits"))


def _json_string(value: Any) -> Any:
    text: str = _expect(value, str, "text")
    if not text.isascii():
        text.encode()  # fails for a lone surrogate, which an escape can make
    return text


def _json_float(value: Any, name: str) -> float:
    number = exact_float(_expect(value, (int, float), "a number"), name)
    if math.isinf(number):
        raise ValueError("a number in JSON that is too large")
    return number


def _json_bool(value: Any) -> bool:
    if value not in (False, True) or isinstance(value, float):  # SQL has 0 and 1
        raise TypeError(f"{json.dumps(value)[:40]} in JSON where true or false is declared")
    return bool(value)


def _json_integer(value: Any, smallest: int, largest: int) -> int:
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


# By the end of a type's name.
_JSON_LEAVES: Final[dict[str, Check]] = {
    "[day]": _json_date,
    "[ms]": _json_date,
    "string": _json_string,
    "binary": _json_bytes,
    "bool": _json_bool,
}
