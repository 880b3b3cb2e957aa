"""Functions with parameters that are dataclasses or named tuples. They are shipped with makers of
instances for the values that come from the host.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from udfvm.static_typing import Any
from udfvm.types.arrow_types import Parameter
from udfvm.types.records import Shape, classes_in


class WithRecords:
    """A function, or an aggregate's class, that is called with instances in the guest; see
    guest/runtimes/python/_udfvm_records.py.
    """

    def __init__(self, function: Callable[..., Any], shapes: Sequence[Shape]) -> None:
        self.function = function
        self._shapes = tuple(shapes)

    def __reduce__(self) -> tuple[object, ...]:
        from udfvm.load.reductions import GuestModule

        maker = "AggregateWithRecords" if isinstance(self.function, type) else "with_records"
        made = operator.methodcaller(maker, self.function, self._shapes)
        return made, (GuestModule("_udfvm_records"),)


def with_records(function: Callable[..., Any], parameters: Sequence[Parameter]) -> Any:
    """Returns the function as it is shipped: itself if its parameters are plain values."""
    shapes = [parameter.shape for parameter in parameters]
    return WithRecords(function, shapes) if any(shapes) else function


def referred_to(function: Callable[..., Any], parameters: Sequence[Parameter]) -> object:
    """Returns the function with the classes of its parameters: annotations that are text refer to
    them, but the code does not.
    """
    classes = [cls for parameter in parameters for cls in classes_in(parameter.shape)]
    return (function, *classes) if classes else function
