"""Classes that stand for structs: a ``TypedDict``, a dataclass, a ``typing.NamedTuple``.

A *shape* describes what a value of a nested type becomes in the guest. It is None for a plain
dictionary or list; ``("list", shape)`` and ``("map", shape)``, of values; or ``("record", make,
{field: (shape, optional)})``, where ``make`` is the class or ``dict``, and a null in an optional
field stands for its default. A shape consists of builtins only, because it is shipped
(guest/runtimes/python/_udfvm_records.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from udfvm.static_typing import Any
from udfvm.tuples import NamedTuple
from udfvm.types.forms import arguments_of, is_form, is_typed_dict, origin_of
from udfvm.types.known_hints import known_hints

Shape = tuple[Any, ...] | None


class RecordField(NamedTuple):
    """A field of such a class. ``optional``: it may be left out."""

    name: str
    annotation: Any
    optional: bool


def is_record(annotation: object) -> bool:
    """Returns True if an annotation is a class that stands for a struct."""
    return is_typed_dict(annotation) or _is_instance_class(annotation)


def _is_instance_class(annotation: object) -> bool:
    return isinstance(annotation, type) and (
        hasattr(annotation, "__dataclass_fields__")
        or (issubclass(annotation, tuple) and hasattr(annotation, "_fields"))
    )


def fields_of(cls: Any) -> list[RecordField]:
    """Returns the fields of a class that stands for a struct, in order.

    Raises ValueError for an annotation that cannot be evaluated, and for a dataclass that cannot be
    made from its fields.

    >>> class Point(NamedTuple):
    ...     x: float
    ...     label: str = ""
    >>> [(field.name, field.optional) for field in fields_of(Point)]
    [('x', False), ('label', True)]
    """
    try:
        hints = hints_of_class(cls)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{cls.__name__} has an annotation that cannot be evaluated ({error}): it must use"
            " names that exist at module level"
        ) from error
    if is_typed_dict(cls):
        optional = cls.__optional_keys__
        return [
            RecordField(name, _of_key(hint), name in optional or _is_not_required(hint))
            for name, hint in hints.items()
        ]
    if hasattr(cls, "__dataclass_fields__"):
        return _dataclass_fields(cls, hints)
    untyped = next((name for name in cls._fields if name not in hints), None)
    if untyped is not None:
        raise ValueError(
            f"field {untyped!r} of {cls.__name__} has no type: write a typing.NamedTuple"
        )
    return [RecordField(name, hints[name], name in cls._field_defaults) for name in cls._fields]


def hints_of_class(cls: type) -> Mapping[str, Any]:
    """Returns the evaluated annotations of a class. Raises what evaluating them does."""
    known = known_hints(cls)
    if known is not None:
        return known
    import typing

    return typing.get_type_hints(cls, include_extras=True)


def _is_not_required(hint: Any) -> bool:
    return is_form(origin_of(hint), "NotRequired")


def _of_key(hint: Any) -> Any:
    """Returns the type in ``Required[T]`` and ``NotRequired[T]``."""
    if is_form(origin_of(hint), "Required") or _is_not_required(hint):
        return arguments_of(hint)[0]
    return hint


def _dataclass_fields(cls: Any, hints: Mapping[str, Any]) -> list[RecordField]:
    import dataclasses

    fields = dataclasses.fields(cls)
    known = {field.name for field in fields}
    others = [
        name
        for name, field in cls.__dataclass_fields__.items()
        if name not in known and "INITVAR" in repr(field._field_type)
    ]
    if others:
        raise ValueError(
            f"{cls.__name__} has the InitVar {others[0]!r}: an instance cannot be made from"
            " its fields"
        )
    missing = dataclasses.MISSING
    return [
        RecordField(
            field.name,
            hints[field.name],
            field.default is not missing or field.default_factory is not missing,
        )
        for field in fields
        if field.init
    ]


def as_mapping(value: Any) -> Any:
    """Returns the fields of an instance of a dataclass or ``NamedTuple`` by name; other values
    unchanged.
    """
    cls = type(value)
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return dict(zip(cls._fields, value, strict=True))
    if hasattr(cls, "__dataclass_fields__"):
        fields = sys.modules["dataclasses"].fields(value)
        return {field.name: getattr(value, field.name) for field in fields if field.init}
    return value


def as_dictionaries(value: Any) -> Any:
    """Returns a value with all instances in it, also in lists and mappings, as dictionaries.

    >>> class Point(NamedTuple):
    ...     x: float
    >>> as_dictionaries([Point(1.0)])
    [{'x': 1.0}]
    """
    value = as_mapping(value)
    if isinstance(value, Mapping):
        return {key: as_dictionaries(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_dictionaries(each) for each in value]
    return value


def classes_in(shape: Shape) -> list[type]:
    """Returns the classes whose instances a shape makes."""
    if shape is None:
        return []
    if shape[0] in ("list", "map"):
        return classes_in(shape[1])
    found = [] if shape[1] is dict else [shape[1]]
    for field, _ in shape[2].values():
        found += classes_in(field)
    return found
