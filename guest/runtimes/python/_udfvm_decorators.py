"""The module ``udfvm`` in a micro-VM, for user modules that import it.

Declaring functions return their functions unchanged: a UDF that another one calls is the plain
function there. Nothing else of the module works.
"""

from __future__ import annotations

from typing import Any


def udf(function: Any = None, /, **_: Any) -> Any:
    """Returns the function itself, or a decorator that does."""
    return function if function is not None else lambda each: each


table_function = udf
aggregate = udf


class Absent:
    """A placeholder for everything else of ``udfvm``. A call of it raises."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Absent:
        return _absent(f"{self._name}.{name}", name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"{self._name} does not exist in a micro-VM: a function that runs in one cannot use it"
        )


def _absent(path: str, name: str) -> Absent:
    if name.startswith("__"):
        raise AttributeError(name)
    return Absent(path)


def __getattr__(name: str) -> Absent:
    return _absent(f"udfvm.{name}", name)
