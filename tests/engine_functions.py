"""Functions that tests of several engines share, and their images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import udfvm


def _line_of(text: str) -> int:
    """The number of the first line of this file that has a text."""
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(text))


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


def half_by_value() -> udfvm.ScalarFunction:
    """Returns a function that no other process can import: it goes there by value. It runs for ever
    where ``x`` is more than 2.
    """

    @udfvm.udf(timeout=1000)
    def half(x: float) -> float:
        while x > 2:
            pass
        if x < 0:
            raise ValueError("negative")  # the line
        return x / 2

    return half


#: What tracebacks have of its error: the file here, and the text of the line.
HALF_FAILS = f"""\
  File "{__file__}", line {_line_of("# the line")}, in half
    raise ValueError("negative")  # the line
"""
