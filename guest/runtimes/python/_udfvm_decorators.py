"""``udfvm`` as a function's own modules find it in a micro-VM: what declares functions leaves them
as they are, for a UDF that another one calls is the function itself there. Nothing else of it
works.
"""

from __future__ import annotations

from typing import Any


def udf(function: Any = None, /, **_: Any) -> Any:
    """The function itself."""
    return function if function is not None else lambda each: each


table_function = udf
aggregate = udf


class Absent:
    """What is not there, until it is called."""

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
