"""Objects that have no more than Arrow's PyCapsule interface."""

from __future__ import annotations

from typing import Any


class Capsules:
    """Has no more than the PyCapsule interface of an array, stream or schema."""

    def __init__(self, held: Any) -> None:
        for name in ("__arrow_c_array__", "__arrow_c_stream__", "__arrow_c_schema__"):
            if hasattr(held, name):
                setattr(type(self), name, lambda self, *rest, name=name: getattr(held, name)(*rest))


def capsules(held: Any) -> Any:
    return type("Capsules", (Capsules,), {})(held)
