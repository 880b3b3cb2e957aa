"""Instances of the classes that stand for structs, made of plain values: see ``Shape`` in
``records``.

The build copies this module into the guest, so it imports nothing else of udfvm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shape = tuple[Any, ...] | None
#: Makes of a plain value what a function gets.
Make = Callable[[Any], Any]


def maker_of(shape: Shape) -> Make | None:
    """Returns what makes values of a shape; None where plain values are what is wanted.

    >>> make = maker_of(("list", ("record", dict, {"x": (None, False), "y": (None, True)})))
    >>> make([{"x": 1.0, "y": None}, None])
    [{'x': 1.0}, None]
    """
    if shape is None:
        return None
    if shape[0] == "map":
        return _map_maker(shape[1])
    return _list_maker(shape[1]) if shape[0] == "list" else _record_maker(shape[1], shape[2])


def _list_maker(item: Shape) -> Make:
    make: Any = maker_of(item)
    return lambda values: None if values is None else [make(value) for value in values]


def _map_maker(value: Shape) -> Make:
    make: Any = maker_of(value)
    return lambda values: (
        None if values is None else {key: make(each) for key, each in values.items()}
    )


def _record_maker(cls: Any, fields: dict[str, tuple[Shape, bool]]) -> Make:
    makers = [(name, maker_of(shape), optional) for name, (shape, optional) in fields.items()]

    def make_record(values: Any) -> Any:
        if values is None:
            return None
        made = {}
        for name, make, optional in makers:
            value = values[name]
            if value is not None or not optional:
                made[name] = value if make is None else make(value)
        return made if cls is dict else cls(**made)

    return make_record
