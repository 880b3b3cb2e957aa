"""Parameters that are dataclasses, named tuples or ``TypedDict`` with optional keys. Instances are
made from the dictionaries that represent them. Shapes are those of udfvm/types/records.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Shape = tuple[Any, ...] | None
Make = Callable[[Any], Any]


class AggregateWithRecords(NamedTuple):
    """An aggregate's class, and the shapes of the parameters of its methods."""

    cls: type[Any]
    shapes: Sequence[Shape]


def with_records(function: Callable[..., Any], shapes: Sequence[Shape]) -> Callable[..., Any]:
    """Returns a function that takes plain values for instances, by position."""
    makers = [_maker(shape) for shape in shapes]

    def call(*arguments: Any) -> Any:
        return function(
            *[
                argument if make is None else make(argument)
                for make, argument in zip(makers, arguments, strict=True)
            ]
        )

    return call


def _maker(shape: Shape) -> Make | None:
    if shape is None:
        return None
    if shape[0] == "map":
        return _map_maker(shape[1])
    return _list_maker(shape[1]) if shape[0] == "list" else _record_maker(shape[1], shape[2])


def _list_maker(item: Shape) -> Make:
    make: Any = _maker(item)
    return lambda values: None if values is None else [make(value) for value in values]


def _map_maker(value: Shape) -> Make:
    make: Any = _maker(value)
    return lambda values: (
        None if values is None else {key: make(each) for key, each in values.items()}
    )


def _record_maker(cls: Any, fields: dict[str, tuple[Shape, bool]]) -> Make:
    makers = [(name, _maker(shape), optional) for name, (shape, optional) in fields.items()]

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
