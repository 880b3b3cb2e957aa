"""The values of pyarrow arrays in Python, and arrays of them: as pyarrow has them, but for types
for which pyarrow has none. Maps are dictionaries, or lists of pairs where Python hashes no keys of
their type. Structs with fields of the same name are lists of pairs too.

The build copies this module beside ``nested`` into the guest, so it imports nothing else of udfvm,
and pyarrow only when it converts arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from udfvm.types.conversions import short
from udfvm.types.nested import Nested, holds_others, take_apart, type_name
from udfvm.types.unions import flattened, parts_of

#: Returns the values of an array.
Reader = Callable[[Any], list[Any]]


def to_values(array: Any) -> list[Any]:
    """Returns the values of an array. Raises what pyarrow's ``to_pylist`` does for a value that
    Python has not.

    >>> import pyarrow as pa
    >>> to_values(pa.array([[("a", 1), ("a", 2)]], pa.struct([("a", pa.int8())] * 2)))
    [[('a', 1), ('a', 2)]]
    """
    return reader_of(array.type)(array)


def reader_of(type_: Any) -> Reader:
    """Returns what reads the values of arrays of a type."""
    if not holds_others(type_):
        return _pylist
    return _reader(type_name(type_))


def _pylist(array: Any) -> list[Any]:
    values: list[Any] = array.to_pylist()
    return values


@functools.lru_cache(maxsize=256)
def _reader(name: str) -> Reader:
    nested = take_apart(name)
    if nested is None:
        return _pylist
    held = [_reader(field.type) for field in nested.fields]
    if nested.container == "map":
        keys, values = held
        return _map_reader(keys, values, dictionary_of if has_hashed_keys(nested) else list)
    is_struct = nested.container == "struct"
    if nested.mode is not None:
        return _pylist if all(each is _pylist for each in held) else _union_reader(held)
    if all(each is _pylist for each in held) and not (is_struct and nested.has_equal_names):
        return _pylist
    if not is_struct:
        return _list_reader(*held)
    return _struct_reader([field.name for field in nested.fields], held, nested.has_equal_names)


def _struct_reader(names: list[str], held: list[Reader], in_pairs: bool) -> Reader:
    def read(array: Any) -> list[Any]:
        columns = [each(array.field(index)) for index, each in enumerate(held)]
        rows = zip(*columns, strict=True)
        make: Callable[[Any], Any] = list if in_pairs else dict
        return [
            make(zip(names, row, strict=True)) if valid else None
            for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)
        ]

    return read


def has_hashed_keys(nested: Nested) -> bool:
    """Returns True if a dictionary has the keys of a map: they are no lists, structs or maps."""
    return take_apart(nested.fields[0].type) is None


def dictionary_of(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Returns pairs as a dictionary. Raises ValueError for a key that is there twice.

    >>> dictionary_of([("a", 1), ("b", None)])
    {'a': 1, 'b': None}
    """
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(
                f"the map has the key {short(key)} twice, which a dictionary cannot have; a"
                " vectorised function gets maps as arrays"
            )
        made[key] = value
    return made


def _map_reader(keys: Reader, values: Reader, make: Callable[[Any], Any]) -> Reader:
    def read(array: Any) -> list[Any]:
        offsets = array.offsets.to_pylist()
        start, count = (offsets[0], offsets[-1] - offsets[0]) if offsets else (0, 0)
        entries = array.values.slice(start, count)
        pairs = list(zip(keys(entries.field(0)), values(entries.field(1)), strict=True))
        return [
            make(pairs[offsets[row] - start : offsets[row + 1] - start]) if valid else None
            for row, valid in enumerate(array.is_valid().to_pylist())
        ]

    return read


def _union_reader(held: list[Reader]) -> Reader:
    def read(array: Any) -> list[Any]:
        made: list[Any] = [None] * len(array)
        for each, (rows, values) in zip(held, parts_of(array), strict=True):
            for row, value in zip(rows.to_pylist(), each(values), strict=True):
                made[row] = value
        return made

    return read


def _list_reader(held: Reader) -> Reader:
    def read(array: Any) -> list[Any]:
        import pyarrow.compute as pc

        items = iter(held(flattened(array)))
        return [
            None if length is None else [next(items) for _ in range(length)]
            for length in pc.list_value_length(array).to_pylist()
        ]

    return read
