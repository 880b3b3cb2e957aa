"""Parameters that are dataclasses, named tuples or ``TypedDict`` with optional keys. Instances are
made from the dictionaries that represent them. Shapes are those of udfvm/types/records.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from _udfvm_record_makers import Shape, maker_of


class AggregateWithRecords(NamedTuple):
    """An aggregate's class, and the shapes of the parameters of its methods."""

    cls: type[Any]
    shapes: Sequence[Shape]


def with_records(function: Callable[..., Any], shapes: Sequence[Shape]) -> Callable[..., Any]:
    """Returns a function that takes plain values for instances, by position."""
    makers = [maker_of(shape) for shape in shapes]

    def call(*arguments: Any) -> Any:
        return function(
            *[
                argument if make is None else make(argument)
                for make, argument in zip(makers, arguments, strict=True)
            ]
        )

    return call
