"""Rows that fail: errors with their row, nulls, rows that are left out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pipeline_functions import (
    ROWS,
    dies_at_seven,
    doubled,
    inverse,
    numbers,
    stuck_at_seven,
    table_with,
)

import udfvm

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")

FAILING = {
    "raises": (inverse, 0),
    "raises for a batch": (doubled, 7),
    "ends the program": (dies_at_seven, 7),
}


@pytest.mark.parametrize(("function", "value"), FAILING.values(), ids=FAILING)
def test_rows_that_fail_are_null_or_left_out(function: Any, value: int) -> None:
    failing = [0, 1, 777, 12_345, ROWS - 1]
    table = table_with(dict.fromkeys(failing, value))
    with_nulls = function.map(table, on_error="null")
    assert with_nulls["x"].equals(table["x"])
    column = with_nulls[function.name].to_pylist()
    assert [row for row, each in enumerate(column) if each is None] == failing
    skipped = function.map(table, on_error="skip")
    kept = [row for row in range(ROWS) if row not in failing]
    assert skipped["x"].equals(table["x"].take(kept))
    assert skipped[function.name].to_pylist() == [column[row] for row in kept]


def test_all_rows_fail() -> None:
    table = pa.table({"x": [0] * 600})
    first = "the first: UDF 'inverse', row 0: ZeroDivisionError: division by zero$"
    with pytest.warns(
        udfvm.FailedRowsWarning, match=f"600 of 600 rows .* are null; {first}"
    ) as told:
        assert inverse.map(table, on_error="null")["inverse"].null_count == 600
    assert [each.filename for each in told] == [__file__]
    with pytest.warns(udfvm.FailedRowsWarning, match=f"600 of 600 rows .* left out; {first}"):
        assert inverse.map(table, on_error="skip").num_rows == 0


def test_progress_has_the_first_failure() -> None:
    seen: list[udfvm.Progress] = []
    table = table_with({20_000: 0, 3_000: 0, 29_999: 0})
    with pytest.warns(udfvm.FailedRowsWarning, match=r"^UDF 'inverse': 3 of 30,?000 rows failed"):
        inverse.map(table, on_error="skip", threads=2, progress=seen.append)
    failure = seen[-1].failure
    assert isinstance(failure, udfvm.UDFError)
    assert (failure.row, failure.guest_type) == (3000, "ZeroDivisionError")
    assert seen[0].failure is None or seen[0].failure is failure


@pytest.mark.filterwarnings("error")
def test_without_failures_there_is_no_warning() -> None:
    for on_error in ("raise", "null", "skip"):
        assert inverse.map(numbers(100), on_error=on_error).num_rows == 100


@pytest.mark.parametrize("row", [0, 15, 16, 20_000])
def test_an_error_has_the_row_of_the_whole_input(row: int) -> None:
    with pytest.raises(udfvm.UDFError, match=f"row {row}: ZeroDivisionError") as caught:
        inverse.map(table_with({row: 0}), threads=2)
    assert caught.value.row == row


def test_the_first_row_that_fails_is_reported() -> None:
    for _ in range(5):
        with pytest.raises(udfvm.UDFError) as caught:
            inverse.map(table_with({20_000: 0, 3_000: 0, 29_999: 0}), threads=2)
        assert caught.value.row == 3_000


def test_an_error_without_a_row_says_which_rows_the_call_had() -> None:
    with pytest.raises(udfvm.GuestExitError) as caught:
        dies_at_seven.map(table_with({4: 7}))
    assert caught.value.__notes__ == ["udfvm: in rows 0 to 15 of the input"]


def test_arguments_that_do_not_fit_have_their_row_too() -> None:
    table = pa.table({"x": pa.array([*range(1, 5000), 1 << 63], pa.uint64())})
    with pytest.raises(udfvm.TypeMappingError, match=r"row 4999: argument 'x' ") as caught:
        inverse.map(table)
    assert caught.value.row == 4999
    assert inverse.map(table, on_error="null")["inverse"].null_count == 1
    assert inverse.map(table, on_error="skip").num_rows == 4999


def test_a_row_that_never_ends_is_found_by_its_deadline() -> None:
    table = pa.table({"x": list(range(10))})
    made = stuck_at_seven.map(table, on_error="skip", timeout_per_row=0.05)
    assert made["x"].to_pylist() == [x for x in range(10) if x != 7]
    with pytest.raises(udfvm.CallTimeoutError, match=r"; raise timeout_per_row= if "):
        stuck_at_seven.map(table, timeout_per_row=0.01)


def test_a_batch_is_cut_whose_result_is_too_large() -> None:
    """Batches grow: the limit is not to hold for rows that the pipeline put together."""
    small = inverse.with_options(max_output=500, name="small")
    made = small.map(numbers(3000))
    assert made["small"].to_pylist() == [1 / x for x in range(1, 3001)]
    with pytest.raises(udfvm.UDFError, match="row 2000: ZeroDivisionError"):
        small.map(table_with({2000: 0}))


def test_what_is_no_failure_of_a_row_is_raised() -> None:
    with udfvm.Pool(size=2) as pool:
        closed = inverse.with_options(pool=pool)
        closed.prepare()
    with pytest.raises(udfvm.PoolClosedError):
        closed.map(numbers(), on_error="skip")
