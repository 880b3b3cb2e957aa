"""Functions and tables that the tests of pipelines share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import udfvm

ROWS = 30_000


@udfvm.udf
def inverse(x: int) -> float | None:
    return 1 / x


@udfvm.udf(vectorized=True, elementwise=True)
def doubled(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if (x == 7).any():
        raise ValueError("seven")
    return x * 2


@udfvm.udf(timeout=20)
def stuck_at_seven(x: int) -> int:
    while x == 7:
        pass
    return x


@udfvm.udf
def dies_at_seven(x: int) -> int:
    if x == 7:
        os._exit(3)
    return x


@udfvm.table_function(columns={"i": int})
def upto(count: int) -> Iterator[int]:
    yield from range(count)


def numbers(count: int = ROWS, first: int = 1) -> pa.Table:
    return pa.table({"x": np.arange(first, first + count), "name": ["n"] * count})


def table_with(values: dict[int, int]) -> pa.Table:
    column = np.arange(100, 100 + ROWS)
    for row, value in values.items():
        column[row] = value
    return pa.table({"x": column})
