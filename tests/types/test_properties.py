"""Random batches of every supported type come back equal from identity functions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import udfvm
import udfvm.types.arrow_types

_PY_DATES = (-719_162, 2_932_896)  # days of datetime.date.min and max
_DAY_MS = 86_400_000
_SECONDS = (_PY_DATES[0] * 86_400, _PY_DATES[1] * 86_400)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    return (
        st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if signed
        else st.integers(0, 2**bits - 1)
    )


def _counts(unit: str) -> st.SearchStrategy[int]:
    """Timestamps that datetime.datetime can hold, too."""
    if unit == "ns":
        return st.integers(-(2**63) // 1000 + 1, 2**63 // 1000 - 1).map(
            lambda microseconds: microseconds * 1000
        )
    return st.integers(_SECONDS[0] * _PER_SECOND[unit], _SECONDS[1] * _PER_SECOND[unit])


_STORED = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    **{getattr(pa, f"int{bits}")(): _integers(bits, True) for bits in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{bits}")(): _integers(bits, False) for bits in (8, 16, 32, 64)},
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=20),
    pa.large_string(): st.text(max_size=20),
    pa.binary(): st.binary(max_size=20),
    pa.large_binary(): st.binary(max_size=20),
    pa.date32(): st.integers(*_PY_DATES),
    pa.date64(): st.integers(*_PY_DATES).map(lambda days: days * _DAY_MS),
    **{pa.timestamp(unit): _counts(unit) for unit in _PER_SECOND},
    **{pa.timestamp(unit, tz="UTC"): _counts(unit) for unit in _PER_SECOND},
    pa.timestamp("us", tz="+05:30"): _counts("us").filter(lambda count: abs(count) < 2**57),
}


def _from_stored(values: list[Any], type_: pa.DataType) -> pa.Array:
    """An array from stored values: dates and times from integers."""
    if pa.types.is_date32(type_):
        return pa.array(values, pa.int32()).view(type_)
    if pa.types.is_temporal(type_):
        return pa.array(values, pa.int64()).view(type_)
    return pa.array(values, type_, from_pandas=False)


@st.composite
def arrays(draw: st.DrawFn, type_: pa.DataType) -> pa.Array:
    """Nulls, empty arrays, and slices that do not begin at a byte of the bitmap."""
    values = draw(st.lists(st.none() | _STORED[type_], max_size=40))
    array = _from_stored(values, type_)
    start = draw(st.integers(0, len(values)))
    return array.slice(start, draw(st.integers(0, len(values) - start)))


def _same_bits(left: pa.Array, right: pa.Array) -> bool:
    """Equal, NaN included, and valid."""
    right.validate(full=True)
    if (
        left.type != right.type
        or len(left) != len(right)
        or not left.is_valid().equals(right.is_valid())
    ):
        return False
    if pa.types.is_floating(left.type):
        return bool(
            np.array_equal(
                left.drop_null().to_numpy(), right.drop_null().to_numpy(), equal_nan=True
            )
        )
    return bool(left.equals(right))


@functools.cache
def _identity(
    type_: pa.DataType, vectorized: bool, nullable: bool, numpy: bool = False
) -> udfvm.ScalarFunction:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    def wants_null(x: pa.Array | None):  # type: ignore[no-untyped-def]
        return x

    def numpy_same(x: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        assert isinstance(x, np.ndarray)
        return x

    function = numpy_same if numpy else wants_null if nullable and vectorized else same
    return udfvm.udf(
        function, name="same", vectorized=vectorized, input_types=[type_], output_type=type_
    )


_checked = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("type_", _STORED, ids=str)
@pytest.mark.parametrize(
    ("vectorized", "nullable", "numpy"),
    [(False, False, False), (True, False, False), (True, True, False), (True, False, True)],
    ids=["scalar", "vectorized", "vectorized-with-nulls", "numpy"],
)
def test_batches_return(type_: pa.DataType, vectorized: bool, nullable: bool, numpy: bool) -> None:
    same = _identity(type_, vectorized, nullable, numpy)

    @_checked
    @given(arrays(type_))
    def check(array: pa.Array) -> None:
        assert _same_bits(array, same(array))

    check()


_NUMBERS = {
    **{f"int{bits}": (_integers(bits, True), f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (_integers(bits, False), f"uint{bits}") for bits in (8, 16, 32, 64)},
    "float32": (st.floats(width=32), "float"),
    "float64": (st.floats(), "double"),
    "datetime64[us]": (st.integers(-(2**63) + 1, 2**63 - 1), "timestamp[us]"),
}


@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "numpy"])
@pytest.mark.parametrize("dtype", _NUMBERS)
def test_numpy_arrays_return(dtype: str, vectorized: bool) -> None:
    values, type_ = _NUMBERS[dtype]
    if dtype == "datetime64[us]" and not vectorized:
        pytest.skip("datetime.datetime holds fewer")
    same = _identity(udfvm.types.arrow_types.declared(type_).arrow, vectorized, False, vectorized)

    @_checked
    @given(st.lists(values, max_size=40), st.integers(1, 3))
    def check(items: list[Any], step: int) -> None:
        array = np.array(items, dtype=dtype if not dtype.startswith("datetime") else np.int64).view(
            dtype
        )[::step]
        result = same(array)
        assert result.dtype == array.dtype
        np.testing.assert_array_equal(result, array)

    check()


@_checked
@given(st.data())
def test_chunked_and_encoded_columns_return(data: st.DataObject) -> None:
    same = _identity(pa.string(), False, False)
    chunks = data.draw(st.lists(arrays(pa.string()), max_size=4))
    column = pa.chunked_array(chunks, pa.string())
    result = same(column)
    assert isinstance(result, pa.ChunkedArray)
    assert result.to_pylist() == column.to_pylist()
    assert same(column.dictionary_encode()).to_pylist() == column.to_pylist()


@_checked
@given(st.data())
def test_batches_of_several_columns(data: st.DataObject) -> None:
    second = _second()
    first = data.draw(arrays(pa.float64()))
    others = data.draw(
        st.lists(st.none() | st.text(max_size=5), min_size=len(first), max_size=len(first))
    )
    result = second(first, pa.array(others, pa.string()), 7)
    expected = [
        None if number is None else text
        for number, text in zip(first.to_pylist(), others, strict=True)
    ]
    assert result.to_pylist() == expected


@functools.cache
def _second() -> udfvm.ScalarFunction:
    @udfvm.udf
    def second(number: float, text: str, constant: int) -> str:
        assert constant == 7
        return text

    return second
