"""Vectorised functions take arrays of numpy or pyarrow, and return one of the declared type."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scalar_functions import doubled

import udfvm


def test_numpy_functions() -> None:
    np.testing.assert_array_equal(doubled(np.arange(1000.0)), np.arange(1000.0) * 2)
    assert doubled(pa.array([1.0, None, 3.0])).to_pylist() == [2.0, None, 6.0]
    assert doubled(pa.nulls(2, pa.float64())).to_pylist() == [None, None]
    assert doubled(21.0) == 42.0
    assert doubled(np.arange(10)[::2]).tolist() == [0.0, 4.0, 8.0, 12.0, 16.0]


def test_numpy_columns_of_other_numbers() -> None:
    @udfvm.udf(vectorized=True, input_types=["int32", "uint8"], output_type="int64")
    def combined(a: np.ndarray, b: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return a.astype(np.int64) * 100 + b

    first, second = np.array([1, -2, 3], np.int32), np.array([9, 8, 7], np.uint8)
    result = combined(first, second)
    assert result.dtype == np.int64
    assert result.tolist() == [109, -192, 307]
    assert result.flags.writeable
    assert combined(first, second.astype(np.int64)).tolist() == [109, -192, 307]
    assert combined(first[::-1], second).tolist() == [309, -192, 107]

    @udfvm.udf(vectorized=True, input_types=["timestamp[us]"], output_type="timestamp[us]")
    def next_day(moment: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return moment + np.timedelta64(1, "D")

    moments = np.array(["2020-02-28T12:00", "NaT"], "datetime64[us]")
    np.testing.assert_array_equal(
        next_day(moments), np.array(["2020-02-29T12:00", "NaT"], "datetime64[us]")
    )
    assert next_day(pa.array(moments)).to_pylist() == [datetime.datetime(2020, 2, 29, 12), None]


def test_numpy_functions_that_want_nulls() -> None:
    @udfvm.udf(vectorized=True, input_types=["double", "int64", "string"], output_type="string")
    def shown(a: np.ndarray | None, b: np.ndarray | None, c: np.ndarray | None):  # type: ignore[no-untyped-def,type-arg]
        return np.array([f"{x} {y} {z}" for x, y, z in zip(a, b, c, strict=True)])

    columns = pa.array([1.5, None]), pa.array([2**62, None]), pa.array([None, "x"])
    assert shown(*columns).to_pylist() == [f"1.5 {2**62} None", "nan None x"]


def test_numpy_arguments_are_views_of_the_window() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def overwrites(x: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        x[0] = 1
        return x

    with pytest.raises(udfvm.UDFError, match="read-only"):
        overwrites(np.zeros(3))


def test_pyarrow_functions() -> None:
    @udfvm.udf(vectorized=True, input_types=["string", "int64"], output_type=pa.string())
    def repeat(text, count):  # type: ignore[no-untyped-def]
        assert isinstance(text, pa.StringArray)
        assert not text.null_count
        return pc.binary_repeat(text, count)

    assert repeat(pa.array(["a", None, "c"]), pa.array([1, 2, 3])).to_pylist() == ["a", None, "ccc"]
    assert repeat(pa.array(["ab"]), 2).to_pylist() == ["abab"]


def test_vectorised_functions_that_want_nulls() -> None:
    @udfvm.udf(vectorized=True, output_type="bool")
    def missing(x: pa.Int64Array | None, y: float | None):  # type: ignore[no-untyped-def]
        return pc.and_(pc.is_null(x), pc.is_null(y))

    assert missing(pa.array([1, None, None]), pa.array([None, 1.0, None])).to_pylist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("result", "output", "raised", "message"),
    [
        ("x[:-1]", "double", "ValueError", "returned 2 values for 3 rows"),
        ("x.reshape(1, 3)", "double", "ValueError", "2 dimensions"),
        ("list(x)", "double", "TypeError", "returned list, not an array"),
        ("x + 0.5", "int64", "TypeError", "an array of double, but its result is declared int64"),
        ("(x * 1000).astype(int)", "int8", "OverflowError", "declared int8"),
        (
            "x.astype(str)",
            "binary",
            "TypeError",
            "an array of string, but its result is declared binary",
        ),
        ("3", "double", "TypeError", "returned int, not an array"),
    ],
)
def test_vectorised_results_must_be_of_the_declared_type(
    result: str, output: str, raised: str, message: str
) -> None:
    scope: dict[str, Any] = {"np": np}
    exec(f"def f(x: np.ndarray):\n    return {result}\n", scope)
    function = udfvm.udf(scope["f"], vectorized=True, input_types=["double"], output_type=output)
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        function(np.array([1.0, 2.0, 3.0]))
    assert caught.value.guest_type == raised


def test_vectorised_results_are_widened() -> None:
    def small(x: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return x.astype(np.int8)

    for output in ("int64", "double", "uint16"):
        function = udfvm.udf(small, vectorized=True, input_types=["double"], output_type=output)
        assert function(np.array([1.0, 2.0])).tolist() == [1, 2]


def _framed(x):  # type: ignore[no-untyped-def]
    import pandas as pd

    values = x.to_pylist()
    texts = [None if each == 2 else str(each) for each in values]
    return pd.DataFrame({"a": values, "b": texts}, index=values[::-1])


def test_a_data_frame_of_pandas_is_structs() -> None:
    given = pa.array([1, 2, 3])
    for fields, error in (
        ({"a": pa.int64(), "b": pa.string()}, ""),
        ({"a": pa.float64(), "b": pa.large_string()}, ""),
        ({"b": pa.string(), "a": pa.int64()}, r"returned a DataFrame of 2 columns \(a, b\)"),
        (None, "declared double: return a Series, such as frame"),
    ):
        type_ = pa.float64() if fields is None else pa.struct(fields)
        function = udfvm.udf(_framed, vectorized=True, input_types=["int64"], output_type=type_)
        if error:
            with pytest.raises(udfvm.UDFError, match=error):
                function(given)
        else:
            made = [{"a": 1, "b": "1"}, {"a": 2, "b": None}, {"a": 3, "b": "3"}]
            assert function(given).to_pylist() == made
    required = pa.struct([("a", pa.int64()), pa.field("b", pa.string(), nullable=False)])
    function = udfvm.udf(_framed, vectorized=True, input_types=["int64"], output_type=required)
    with pytest.raises(udfvm.TypeMappingError, match="null where there is none"):
        function(given)
