"""Names of types that hold others, lists and structs, as pyarrow prints them: ``list<item:
double>``, ``struct<x: double, y: string>``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(
    r"(list|large_list|fixed_size_list|struct)<(.*)>(?:\[(\d{1,9})\])?", re.DOTALL
)
_FIELD_NAME: Final = re.compile(r"[^<>\[\]:,\s](?:[^<>\[\]:,]*[^<>\[\]:,\s])?")
_ITEM: Final = "item"
_NOT_NULL: Final = " not null"
_DEEPEST: Final = 32


class Field(NamedTuple):
    """A field of a struct, or what a list holds."""

    name: str
    type: str


class Nested(NamedTuple):
    """A type that holds others, taken apart by one level. ``size`` is the length of lists of a
    fixed one.
    """

    container: str
    fields: tuple[Field, ...]
    size: int | None = None

    def __str__(self) -> str:
        fields = ", ".join(f"{field.name}: {field.type}" for field in self.fields)
        return f"{self.container}<{fields}>" + (f"[{self.size}]" if self.size is not None else "")


def take_apart(name: str) -> Nested | None:
    """A type by its name; None where that is not the name of a list or struct.

    What a list holds may be named or not (``list<double>``), and is named ``item`` here, whatever
    it was. Raises ValueError for a name that begins as one of those and does not end so, and for
    fields without a name, of one name, or of one with any of ``<>[]:,``.

    >>> take_apart("struct<at: timestamp[us, tz=UTC], path: list<string>>").fields
    (Field(name='at', type='timestamp[us, tz=UTC]'), Field(name='path', type='list<string>'))
    >>> str(take_apart("fixed_size_list<float>[3]"))
    'fixed_size_list<item: float>[3]'
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
    if size is not None and int(size) == 0:  # any number of them takes no room in a reply
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
    """The name, where a field can have it. Raises ValueError."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a field: names contain none of <>[]:, and no space at"
            " either end"
        )
    return name


def _field(whole: str, part: str, container: str) -> Field:
    name, colon, type_ = at_colon(part)
    if container != "struct":
        name = _ITEM
    elif not colon:
        raise ValueError(f"{whole!r} is not a type: its field {part!r} has no name")
    return Field(check_field_name(name.strip()), type_.strip().removesuffix(_NOT_NULL))


def at_colon(part: str) -> tuple[str, str, str]:
    """A name, the colon behind it, and a type: a colon in a time zone or in brackets is none.
    Without a name the type is last.
    """
    head = re.split(r"[<\[]", part, maxsplit=1)[0]
    if ":" not in head:
        return "", "", part
    return part.partition(":")


def split_at_commas(inner: str) -> list[str]:
    """What is between the commas that are in no brackets. Raises ValueError where one closes that
    was not opened.
    """
    parts, depth, begin = [], 0, 0
    for index, character in enumerate(inner):
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
