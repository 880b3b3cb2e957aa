"""Functions that tests of several engines share, and their images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import udfvm


@udfvm.udf
def ratio(a: float, b: float = 1.0) -> float | None:
    while b == 13:
        pass
    if b < 0:
        raise ValueError("negative")
    return a / b if b else None


@udfvm.udf
def shown(text: str | None, mark: str = "!") -> str:
    return f"{text}{mark}"


@udfvm.aggregate
class Total:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: float) -> None:
        if x < 0:
            raise ValueError("negative")
        self.sum += x

    def merge(self, other: Total) -> None:
        self.sum += other.sum

    def finish(self) -> float:
        return self.sum


@udfvm.aggregate
class Products:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: float, y: float) -> None:
        self.sum += x * y

    def finish(self) -> float:
        return self.sum


@udfvm.table_function(columns={"i": int, "text": str})
def upto(count: int) -> Iterator[Any]:
    for i in range(count):
        yield i, f"number {i}"
    if count == 5:
        raise ValueError("five")


@udfvm.table_function(columns={"place": int, "word": str})
def parts(text: str) -> Iterator[Any]:
    yield from enumerate(text.split())
