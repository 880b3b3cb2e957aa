"""Batches and results larger than the window are cut into chunks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scalar_functions import doubled, fails_on_odd

import udfvm


@udfvm.udf
def tail(text: str) -> str:
    return text[-2:]


def test_batches_larger_than_the_window_are_split() -> None:
    rows = 10_000_000
    values = np.arange(rows, dtype=np.float64)
    result = doubled(pa.array(values))
    assert len(result) == rows
    np.testing.assert_array_equal(result.to_numpy(), values * 2)


def test_results_larger_than_the_window_are_split() -> None:
    @udfvm.udf
    def long(length: int) -> str:
        return "x" * length

    sizes = pa.array([1_000_000] * 100)
    assert pc.all(pc.equal(pc.utf8_length(long(sizes)), 1_000_000)).as_py()
    assert long(150_000_000) == "x" * 150_000_000

    small = udfvm.udf(long.function, max_output=4096, name="small")
    assert small(4000) == "x" * 4000
    with pytest.raises(udfvm.OutputLimitError, match="max_output="):
        small(5000)
    with pytest.raises(udfvm.OutputLimitError, match="max_output="):
        small(pa.array([4000, 4000]))


def test_rows_larger_than_the_window() -> None:
    assert tail("x" * 140_000_000 + "y") == "xy"
    assert tail(pa.array(["abc", "x" * 140_000_000 + "y"])).to_pylist() == ["bc", "xy"]
    with pytest.raises(udfvm.InputTooLargeError, match=r"512 MiB .* raise memory="):
        tail("x" * 540_000_000)
    with pytest.raises(udfvm.InputTooLargeError, match=r"512 MiB .* raise memory="):
        tail(pa.array(["a", "x" * 540_000_000]))
    assert tail("abc") == "bc"


def test_rows_of_split_batches_are_counted_from_the_beginning() -> None:
    rows = 9_000_000
    values = np.zeros(rows, dtype=np.int64)
    values[rows - 5] = 1
    with pytest.raises(udfvm.UDFError) as caught:
        fails_on_odd(values)
    assert caught.value.row == rows - 5
