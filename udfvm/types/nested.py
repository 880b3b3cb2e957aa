"""Names of lists and structs, as pyarrow prints them: ``list<item: double>``, ``struct<x: double,
y: string>``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(
    r"(list|large_list|fixed_size_list|struct)<(.*)>(?:\[(\d{1,9})\])?", re.DOTALL
)
_FIELD_NAME: Final = re.compile(r"[^<>\[\]:,\s](?:[^<>\[\]:,]*[^<>\[\]:,\s])?")
_DECIMAL: Final = re.compile(r"decimal\d+\(\d+, ?-?\d+\)")
ITEM: Final = "item"
_NOT_NULL: Final = " not null"
_DEEPEST: Final = 32


class Field(NamedTuple):
    """A field of a struct, or the element of a list."""

    name: str
    type: str
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + ("" if self.nullable else _NOT_NULL)


class Nested(NamedTuple):
    """A type that holds others, parsed by one level. ``size`` is the length of lists of a fixed
    one.
    """

    container: str
    fields: tuple[Field, ...]
    size: int | None = None

    def __str__(self) -> str:
        fields = ", ".join(map(str, self.fields))
        return f"{self.container}<{fields}>" + (f"[{self.size}]" if self.size is not None else "")


def take_apart(name: str) -> Nested | None:
    """Parses the name of a type by one level; returns None unless it is a list or struct.

    The element of a list is ``item`` where it has no name (``list<double>``).

    Raises ValueError for a name with unbalanced brackets, and for fields without a name, with the
    same name, or with a name that has any of ``<>[]:,``.

    >>> take_apart("struct<at: timestamp[us, tz=UTC], path: list<string>>").fields
    (Field(name='at', type='timestamp[us, tz=UTC]', nullable=True), Field(name='path', ...))
    >>> str(take_apart("fixed_size_list<float not null>[3]"))
    'fixed_size_list<item: float not null>[3]'
    """
    match = _FORM.fullmatch(name)
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
    if size is not None and int(size) == 0:  # a tiny reply could claim any number of them
        raise ValueError(f"{name!r} is not a type: lists of a fixed size hold at least one value")
    fields = tuple(_field(name, part, container) for part in split_at_commas(inner))
    if container == "struct":
        names = [field.name for field in fields]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{name!r} is not a type: a struct needs fields with different names")
    elif len(fields) != 1:
        raise ValueError(f"{name!r} is not a type: the values of a list have one type")
    return Nested(container, fields, None if size is None else int(size))


def check_field_name(name: str) -> str:
    """Returns the name. Raises ValueError if a field cannot have it."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a field: names contain none of <>[]:, and no space at"
            " either end"
        )
    return name


def _field(whole: str, part: str, container: str) -> Field:
    name, colon, type_ = at_colon(part)
    if not colon:
        if container == "struct":
            raise ValueError(f"{whole!r} is not a type: its field {part!r} has no name")
        name = ITEM
    type_ = type_.strip()
    return Field(
        check_field_name(name.strip()),
        type_.removesuffix(_NOT_NULL),
        not type_.endswith(_NOT_NULL),
    )


def at_colon(part: str) -> tuple[str, str, str]:
    """Splits a part into a name, a colon and a type. A colon in a time zone or in brackets does not
    count. Without a name it returns the type last.
    """
    head = re.split(r"[<\[]", part, maxsplit=1)[0]
    if ":" not in head:
        return "", "", part
    return part.partition(":")


def split_at_commas(inner: str) -> list[str]:
    """Splits text at the commas outside of brackets and decimals. Raises ValueError for a closing
    bracket that was not opened.

    >>> split_at_commas("x: decimal128(5, 2), y: struct<a: bool, b: bool>")
    ['x: decimal128(5, 2)', ' y: struct<a: bool, b: bool>']
    """
    parts, depth, begin = [], 0, 0
    for index, character in enumerate(_DECIMAL.sub(lambda match: "_" * len(match[0]), inner)):
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


def _depth(name: str) -> int:
    deepest = depth = 0
    for character in name:
        depth += (character == "<") - (character == ">")
        deepest = max(deepest, depth)
    return deepest
