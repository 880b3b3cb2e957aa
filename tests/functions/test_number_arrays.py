"""Vectorised functions over arrays of numbers of pyarrow, which they get and return without Python
code of the runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import udfvm

TYPES = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["float", "double"]
SIZES = [1, 7, 1000, 70_000, 400_000]  # in the window; in scratch, where large results are left


@pytest.mark.parametrize("type_", TYPES)
def test_types(type_: str) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        assert type(x).__name__ == {
            "float": "FloatArray",
            "double": "DoubleArray",
        }.get(type_, type_.replace("int", "Int").replace("uInt", "UInt") + "Array")
        return x

    function = udfvm.udf(same, vectorized=True, input_types=[type_], output_type=type_)
    values = pa.array([1, 2, 100, 0], type_)
    for _ in range(2):
        assert function(values).equals(values)
    assert function(values.slice(1, 2)).equals(values.slice(1, 2))


@udfvm.udf(vectorized=True, input_types=["double", "int32", "int64"], output_type="double")
def shaped(x: pa.DoubleArray, weight: np.ndarray, ways: pa.Int64Array):  # type: ignore[no-untyped-def]
    import pyarrow.compute as pc

    assert isinstance(x, pa.DoubleArray)
    assert isinstance(weight, np.ndarray)
    product = pc.multiply(x, pa.array(weight).cast(pa.float64()))
    made = {
        0: lambda: product,
        1: lambda: pa.concat_arrays([pa.array([0.0, 0.0]), product]).slice(2),
        2: lambda: pa.concat_arrays([pa.array([0.0]), product, product]).slice(1, len(x)),
        3: lambda: pa.chunked_array([product.slice(0, 1), product.slice(1)]),
        4: lambda: pc.cast(product, pa.float32()),
        5: product.to_numpy,
        6: lambda: pc.if_else(pa.array([False] + [True] * (len(x) - 1)), product, None),
        7: lambda: pc.if_else(pa.array([True] * len(x)), product, None),
        8: lambda: product.slice(1),
        9: lambda: pa.array(["text"] * len(x)),
    }
    return made[ways[0].as_py()]()


def called(way: int, rows: int = 5) -> tuple[Any, pa.Array]:
    x = np.arange(rows) / 4
    weight = np.arange(rows, dtype=np.int32) + 1
    made = shaped(pa.array(x), pa.array(weight), pa.array(np.full(rows, way)))
    return made, pa.array(x * weight)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("way", [0, 1, 2, 3, 5, 7])
def test_results_that_are_arrays_of_the_declared_type(way: int, rows: int) -> None:
    made, expected = called(way, rows)
    made.validate(full=True)
    assert made.null_count == 0 and made.equals(expected)


def test_other_results() -> None:
    made, expected = called(4)
    assert made.equals(expected.cast(pa.float32()).cast(pa.float64()))
    made, expected = called(6)
    assert made.to_pylist() == [None, *expected.to_pylist()[1:]]


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (8, "returned 4 values for 5 rows"),
        (9, "returned an array of string, but its result is declared double"),
        (10, "KeyError: 10"),
    ],
)
def test_refused_results(way: int, text: str) -> None:
    with pytest.raises(udfvm.UDFError, match=text):
        called(way)
    made, expected = called(0)
    assert made.equals(expected)


@pytest.mark.parametrize("count", [8, 9])
def test_many_parameters(count: int) -> None:
    def digits(*columns: np.ndarray) -> np.ndarray:
        return sum(column * 10**index for index, column in enumerate(columns))

    function = udfvm.udf(digits, vectorized=True, input_types=["int64"], output_type="int64")
    columns = [np.array([index, 9 - index]) for index in range(count)]
    for _ in range(2):
        assert function(*columns).tolist() == digits(*columns).tolist()


def test_nulls_go_another_way() -> None:
    x = pa.array([1.0, None, 3.0])
    made = shaped(x, pa.array([1, 2, 3], pa.int32()), pa.array([0, 0, 0]))
    assert made.to_pylist() == [1.0, None, 9.0]


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64")
def kept(x: pa.Int64Array) -> pa.Array:
    """Returns the sum of all that it was called with before."""
    import pyarrow.compute as pc

    seen = globals().setdefault("seen", [])
    seen.append(x)
    return pa.array([pc.sum(pa.concat_arrays(seen)).as_py()] * len(x))


def test_arrays_that_a_function_keeps_go_with_the_call() -> None:
    for _ in range(3):
        assert kept(pa.array([1, 2, 3])).to_pylist() == [6, 6, 6]
