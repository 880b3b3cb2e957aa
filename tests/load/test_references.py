"""Functions refer to other functions, modules and packages."""

from __future__ import annotations

import functools
import json as renamed_json
import math
import operator

import numpy as np
import pyarrow as pa
import pytest
from scalar_functions import score

import udfvm


def test_pandas_is_there_where_it_is_used() -> None:
    pytest.importorskip("pandas")

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def through_pandas(x):  # type: ignore[no-untyped-def]
        return x.to_pandas().cumsum()

    assert through_pandas(pa.array([1.0, 2.0])).to_pylist() == [1.0, 3.0]


def test_builtins_and_other_callables() -> None:
    root = udfvm.udf(math.sqrt, input_types=["double"], output_type="double")
    assert (root.name, root(4.0)) == ("sqrt", 2.0)
    tripled = udfvm.udf(
        functools.partial(operator.mul, 3),
        input_types=["int64"],
        output_type="int64",
        name="tripled",
    )
    assert tripled(14) == 42


def test_scalar_functions_need_little() -> None:
    @udfvm.udf(memory="64MiB")
    def modules(prefixes: str) -> str:
        import sys

        return ",".join(name for name in prefixes.split(",") if name in sys.modules)

    assert modules("json,numpy,pyarrow,pandas") == "json"

    @udfvm.udf(memory="64MiB")
    def allocate(size: int) -> int:
        return len(bytearray(size))

    assert allocate(1 << 20) == 1 << 20
    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        allocate(1 << 28)
    assert allocate(1 << 20) == 1 << 20


def test_udfs_call_udfs_and_modules() -> None:
    @udfvm.udf
    def via(text: str) -> float | None:
        import statistics

        numbers = renamed_json.loads(text)
        return score(statistics.mean(numbers), 100.0)

    assert via("[1, 2, 3]") == 2.0


def test_recursive_udfs() -> None:
    assert factorial(10) == 3_628_800


@udfvm.udf
def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial(n - 1)


def test_third_party_packages() -> None:
    pandas = pytest.importorskip("pandas")

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def ranked(x):  # type: ignore[no-untyped-def]
        return pandas.Series(x.to_numpy()).rank()

    assert ranked(np.array([3.0, 1.0, 2.0])).tolist() == [3.0, 1.0, 2.0]
