"""Names of lists, structs, maps and unions: ``list<item: double>``,
``struct<x: double, "": string>``, ``map<string, double>``, ``dense_union<a: int8=0, b: string=1>``.

They are written as pyarrow prints them, but that a name of a field which has brackets, commas,
colons, quotes or outer spaces, or is empty, is in double quotes, and each quote in it is doubled.

The build copies this for guests, so it imports nothing else of udfvm, and pyarrow not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple

# Patterns, which are compiled when they are first used.
_FORM: Final = (
    r"(?s)(list|large_list|fixed_size_list|struct|map|sparse_union|dense_union)<(.*)>"
    r"(?:\[(\d{1,9})\])?"
)
_FIELD_NAME: Final = r'[^<>\[\]:,"\s](?:[^<>\[\]:,"]*[^<>\[\]:,"\s])?'
_QUOTED_NAME: Final = r'"(?:[^"]|"")*"'
# Text in which commas, colons and brackets are not those of a type.
_OPAQUE: Final = rf"{_QUOTED_NAME}|decimal\d+\(\d+, ?-?\d+\)"
ITEM: Final = "item"
KEY, VALUE = "key", "value"
_KEYS_SORTED: Final = "keys_sorted"
_UNIONS: Final = {"sparse_union": "sparse", "dense_union": "dense"}
_CODE: Final = r"(?s)(.*)=\s*(\d{1,3})\s*"
_MAX_CODE: Final = 127
_NOT_NULL: Final = " not null"
_DEEPEST: Final = 32
_STRUCT, _SPARSE_UNION, _DENSE_UNION, _MAP = 26, 27, 28, 30  # of pyarrow's types (``Type::type``)


class Field(NamedTuple):
    """A field of a struct, or the element of a list."""

    name: str
    type: str
    nullable: bool = True

    def __str__(self) -> str:
        return f"{quoted(self.name)}: {self.type}" + ("" if self.nullable else _NOT_NULL)


class Nested(NamedTuple):
    """A type that holds others, parsed by one level. ``size`` is the length of lists of a fixed
    one. A map has two fields, of which the key is never null; ``keys_sorted`` is what it says.
    ``codes`` are the type codes of the fields of a union.
    """

    container: str
    fields: tuple[Field, ...]
    size: int | None = None
    keys_sorted: bool = False
    codes: tuple[int, ...] = ()

    @property
    def mode(self) -> str | None:
        """``sparse`` or ``dense``; None for what is no union."""
        return _UNIONS.get(self.container)

    @property
    def has_equal_names(self) -> bool:
        """True if fields have the same name, so that a dictionary cannot have them."""
        return len({field.name for field in self.fields}) < len(self.fields)

    def __str__(self) -> str:
        if self.container == "map":
            return f"map<{', '.join(_parts_of_map(self))}>"
        codes = [f"={code}" for code in self.codes] or [""] * len(self.fields)
        fields = ", ".join(f"{field}{code}" for field, code in zip(self.fields, codes, strict=True))
        return f"{self.container}<{fields}>" + (f"[{self.size}]" if self.size is not None else "")


def _parts_of_map(nested: Nested) -> list[str]:
    key, value = nested.fields
    key = key._replace(nullable=True)  # which goes without saying
    parts = [
        str(field).removeprefix(f"{usual}: ")
        for field, usual in zip((key, value), (KEY, VALUE), strict=True)
    ]
    return [*parts, _KEYS_SORTED] if nested.keys_sorted else parts


def quoted(name: str) -> str:
    """Returns the name of a field as the names of types have it.

    >>> print(quoted("x"), quoted('an "odd" name, or: not'), quoted(""))
    x "an ""odd"" name, or: not" ""
    """
    return name if re.fullmatch(_FIELD_NAME, name) else '"' + name.replace('"', '""') + '"'


def values_in_pairs(value: Any, names: list[str]) -> list[Any]:
    """Returns the values of a struct whose fields have the same names: given as pairs of name and
    value, in the order of the fields. Raises TypeError.

    >>> values_in_pairs([("a", 1), ("a", 2)], ["a", "a"])
    [1, 2]
    """
    is_pairs = isinstance(value, (list, tuple)) and all(map(_is_pair, value))
    if not is_pairs or [name for name, _ in value] != names:
        raise TypeError(
            f"expected a list of pairs, of the names {', '.join(map(quoted, names))} and their"
            f" values; got {type(value).__name__}"
        )
    return [each for _, each in value]


def pairs_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """Returns the pairs of key and value of a map: of a mapping, or of a list of pairs. Raises
    TypeError.
    """
    if isinstance(value, Mapping):
        return value.items()
    if not isinstance(value, (list, tuple)) or not all(map(_is_pair, value)):
        raise TypeError(f"expected a dictionary or a list of pairs, got {type(value).__name__}")
    return value


def _is_pair(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def take_apart(name: str) -> Nested | None:
    """Parses the name of a type by one level; returns None unless it is a list, struct, map
    or union.

    The element of a list is ``item`` where it has no name (``list<double>``); what a map holds is
    ``key`` and ``value``. The codes of a union may be left out: they are 0, 1 and so on.

    Raises ValueError for a name with unbalanced brackets, and for fields whose name is missing, or
    is not in quotes and has any of ``<>[]:,"``.

    >>> take_apart("struct<at: timestamp[us, tz=UTC], path: list<string>>").fields
    (Field(name='at', type='timestamp[us, tz=UTC]', nullable=True), Field(name='path', ...))
    >>> str(take_apart("fixed_size_list<float not null>[3]"))
    'fixed_size_list<item: float not null>[3]'
    """
    # Most names are plain, and need no pattern compiled.
    match = re.fullmatch(_FORM, name) if "<" in name else None
    if match is None:
        return None
    container, inner, size = match.groups()
    if _depth(name) > _DEEPEST:
        raise ValueError(f"{name[:80]!r} ... is nested more than {_DEEPEST} levels deep")
    if (size is None) == (container == "fixed_size_list"):
        raise ValueError(
            f"{name!r} is not a type: write a list of a fixed size as"
            " fixed_size_list<item: double>[3]"
        )
    parts = split_at_commas(inner)
    if container == "map":
        return _map_of(name, [part.strip() for part in parts])
    if container in _UNIONS:
        return _union_of(name, container, parts)
    fields = tuple(_field(name, part, None if container == "struct" else ITEM) for part in parts)
    if container != "struct" and len(fields) != 1:
        raise ValueError(f"{name!r} is not a type: the values of a list have one type")
    return Nested(container, fields, None if size is None else int(size))


def _map_of(whole: str, parts: list[str]) -> Nested:
    keys_sorted = parts[2:] == [_KEYS_SORTED]
    if len(parts) != (3 if keys_sorted else 2):
        raise ValueError(
            f"{whole!r} is not a type: a map has a type of keys and one of values, such as"
            " map<string, double>"
        )
    key, value = (
        _field(whole, part, name) for part, name in zip(parts, (KEY, VALUE), strict=False)
    )
    return Nested("map", (key._replace(nullable=False), value), None, keys_sorted)


def _union_of(whole: str, container: str, parts: list[str]) -> Nested:
    found = [re.fullmatch(_CODE, part) for part in parts]
    codes = [int(match[2]) for match in found if match]
    if not codes:
        codes = list(range(len(parts)))
    elif len(codes) == len(parts):
        parts = [match[1] for match in found if match]
    if (
        len(codes) != len(parts)
        or len(set(codes)) < len(codes)
        or max(codes, default=0) > _MAX_CODE
    ):
        raise ValueError(
            f"{whole!r} is not a type: each field of a union has a code of its own, 0 to"
            f" {_MAX_CODE}, or none of them has one"
        )
    if not parts:  # pyarrow ends the process where it makes arrays of it
        raise ValueError(f"{whole!r} is not a type: a union has at least one field")
    fields = tuple(_field(whole, part, None) for part in parts)
    return Nested(container, fields, codes=tuple(codes))


def _field(whole: str, part: str, usual_name: str | None) -> Field:
    name, colon, type_ = at_colon(part)
    if not colon:
        if usual_name is None:
            raise ValueError(f"{whole!r} is not a type: its field {part!r} has no name")
        name = usual_name
    type_ = type_.strip()
    return Field(
        _unquoted(name.strip()),
        type_.removesuffix(_NOT_NULL),
        not type_.endswith(_NOT_NULL),
    )


def _unquoted(name: str) -> str:
    if re.fullmatch(_QUOTED_NAME, name):
        return name[1:-1].replace('""', '"')
    if not re.fullmatch(_FIELD_NAME, name):
        raise ValueError(f"{name!r} as the name of a field is written in quotes: {quoted(name)}")
    return name


def at_colon(part: str) -> tuple[str, str, str]:
    """Splits a part into a name, a colon and a type. A colon in a time zone, in brackets or in
    quotes does not count. Without a name it returns the type last.
    """
    head = re.split(r"[<\[]", _readable(part), maxsplit=1)[0]
    if ":" not in head:
        return "", "", part
    colon = head.index(":")
    return part[:colon], ":", part[colon + 1 :]


def split_at_commas(inner: str) -> list[str]:
    """Splits text at the commas outside of brackets, quotes and decimals. Raises ValueError for a
    closing bracket that was not opened.

    >>> split_at_commas('x: decimal128(5, 2), "y, z": struct<a: bool, b: bool>')
    ['x: decimal128(5, 2)', ' "y, z": struct<a: bool, b: bool>']
    """
    parts, depth, begin = [], 0, 0
    for index, character in enumerate(_readable(inner)):
        if character in "<[":
            depth += 1
        elif character in ">]":
            depth -= 1
            if depth < 0:
                raise ValueError(f"<{inner}> closes a bracket that it does not open")
        elif character == "," and depth == 0:
            parts.append(inner[begin:index])
            begin = index + 1
    return [*parts, inner[begin:]] if inner.strip() else []


def _readable(text: str) -> str:
    """Returns text of the same length in which all commas, colons and brackets are those of
    types.
    """
    return re.sub(_OPAQUE, lambda match: "_" * len(match[0]), text)


def _depth(name: str) -> int:
    deepest = depth = 0
    for character in _readable(name):
        depth += (character == "<") - (character == ">")
        deepest = max(deepest, depth)
    return deepest


# ---- Types of pyarrow ----


def type_name(type_: Any) -> str:
    """Returns the name of a pyarrow type: pyarrow's own, but for the quotes.

    >>> import pyarrow as pa
    >>> type_name(pa.list_(pa.struct([("a, b", pa.int8())])))
    'list<item: struct<"a, b": int8>>'
    """
    if not holds_others(type_):
        return str(type_)
    container = str(type_).partition("<")[0]
    keys_sorted = type_.id == _MAP and type_.keys_sorted
    held = (
        (type_.key_field, type_.item_field)
        if type_.id == _MAP
        else (type_.field(index) for index in range(type_.num_fields))
    )
    fields = tuple(Field(field.name, type_name(field.type), field.nullable) for field in held)
    codes = tuple(type_.type_codes) if type_.id in (_SPARSE_UNION, _DENSE_UNION) else ()
    return str(Nested(container, fields, getattr(type_, "list_size", None), keys_sorted, codes))


def holds_others(type_: Any) -> bool:
    """Returns True for pyarrow's lists, structs, maps and unions, those without fields too."""
    return bool(type_.num_fields > 0 or type_.id == _STRUCT)
