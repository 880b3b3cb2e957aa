"""Functions of one value or two, for tests that pass columns of other libraries."""

from __future__ import annotations

import udfvm


@udfvm.udf
def twice(x: float) -> float:
    return 2 * x


@udfvm.udf
def added(x: float, y: float) -> float:
    return x + y


@udfvm.udf
def following(x: int) -> int:
    return x + 1


@udfvm.udf
def shouted(word: str) -> str:
    return word.upper()


total = udfvm.udf(
    lambda pair: pair["a"] + pair["b"],
    name="total",
    input_types=["struct<a: int64, b: double>"],
    output_type="double",
)
