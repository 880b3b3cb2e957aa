"""Functions that take any number of arguments, which tests call in Python, Arrow and SQL."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

import udfvm


@udfvm.udf
def joined(separator: str, *words: str | None) -> str:
    return separator.join(word or "-" for word in words)


@udfvm.udf
def total(*xs: float) -> float:
    return sum(xs)


@udfvm.udf
def scaled(n: int, scale: float = 2.0, *xs: float) -> float:
    return n * scale + sum(xs)


@udfvm.udf(vectorized=True, elementwise=True)
def added(*xs: pa.DoubleArray) -> pa.DoubleArray:
    result = xs[0]
    for x in xs[1:]:
        result = pc.add(result, x)
    return result
