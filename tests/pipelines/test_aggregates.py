"""Aggregates of all rows of a source."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

import udfvm

ROWS = 300_000


@udfvm.aggregate
class digest:
    """Depends on the order of the rows. Merging cannot begin with an empty group."""

    def step(self, x: int) -> None:
        if x < 0:
            raise ValueError("negative")
        if not hasattr(self, "first"):
            self.first, self.count = x, 0
        self.last = x
        self.count += 1

    def merge(self, other: digest) -> None:
        if self.last + 1 != other.first:
            raise ValueError(f"{other.first} follows {self.last}")
        self.last = other.last
        self.count += other.count

    def finish(self) -> str:
        return f"{self.first}..{self.last}: {self.count}" if hasattr(self, "first") else "none"


@udfvm.aggregate
class followed:
    """Without merge."""

    def __init__(self) -> None:
        self.count = 0

    def step(self, x: int) -> None:
        assert x == self.count
        self.count += 1

    def finish(self) -> int:
        return self.count


@udfvm.aggregate(vectorized=True)
class total:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: npt.NDArray[np.float64]) -> None:
        self.sum += float(x.sum())

    def merge(self, other: total) -> None:
        self.sum += other.sum

    def finish(self) -> float:
        return self.sum


NUMBERS = pa.table({"x": np.arange(ROWS)})


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_states_are_merged_in_order(threads: int | None) -> None:
    told: list[udfvm.Progress] = []
    made = digest.map(NUMBERS, threads=threads, progress=told.append)
    assert made == f"0..{ROWS - 1}: {ROWS}"
    assert (told[-1].rows, told[-1].total) == (ROWS, ROWS)


def test_a_pool_of_one_vm_suffices() -> None:
    with udfvm.Pool(size=1, wait=5) as pool:
        bound = digest.with_options(pool=pool)
        for made in (bound.map(NUMBERS), bound(NUMBERS["x"])):
            assert made == f"0..{ROWS - 1}: {ROWS}"


def test_without_merge_one_vm_takes_all_rows() -> None:
    assert followed.map(NUMBERS.to_reader(10_000)) == ROWS


def test_vectorised() -> None:
    table = pa.table({"x": np.ones(ROWS)})
    assert total.map(table) == ROWS
    assert total.map(table.rename_columns(["other"]), columns="other") == ROWS


def test_no_rows() -> None:
    assert digest.map(NUMBERS[:0]) == "none"


@pytest.mark.parametrize("row", [0, 5000, 250_000])
def test_an_error_has_the_row_of_the_whole_input(row: int) -> None:
    values = np.arange(ROWS)
    values[row] = -1
    nulls = np.zeros(ROWS, bool)
    nulls[: row // 2] = True  # rows that do not count are counted
    table = pa.table({"x": pa.array(values, mask=nulls)})
    with pytest.raises(udfvm.UDFError, match=f"row {row}: ValueError: negative"):
        digest.map(table, threads=2)


def test_nulls_are_left_out() -> None:
    values = pa.array([None, 0, 1, None, 2], pa.int64())
    assert digest.map(pa.table({"x": values})) == "0..2: 3"


def test_what_an_aggregate_does_not_take_is_not_converted() -> None:
    frame = pd.DataFrame({"x": [0, 1, 2], "other": [1, "a", 2]}, index=[1, "a", 2])
    assert digest.map(frame) == "0..2: 3"
    assert digest.map(frame[["other"]].set_index(frame["x"])) == "0..2: 3"
    with pytest.raises(udfvm.TypeMappingError, match=r"row 1: argument 'x' .*, column 'other'\)"):
        digest.map({"other": pa.array([1, 1 << 63], pa.uint64())}, columns="other")


# ---- Rows that fail, and deadlines ----


@udfvm.aggregate(timeout=2.0)
class kept:
    """Fails at negative numbers, and takes long for large ones, or for ever."""

    def __init__(self) -> None:
        self.sum = 0

    def step(self, x: int) -> None:
        if x < 0:
            raise ValueError("negative")
        while x == 7777:
            pass
        for _ in range(2000 if x >= 1 << 20 else 0):
            pass
        self.sum += x

    def merge(self, other: kept) -> None:
        self.sum += other.sum

    def finish(self) -> int:
        return self.sum


@pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_that_fail_are_left_out(threads: int) -> None:
    values = np.ones(20_000, int)
    values[[0, 5, 6, 1000, 19_999]] = -1
    told: list[udfvm.Progress] = []
    table = pa.table({"x": values})
    with udfvm.Pool(size=2, wait=5) as pool:
        bound = kept.with_options(pool=pool)
        made = bound.map(table, on_error="skip", threads=threads, progress=told.append)
    assert made == 20_000 - 5
    assert (told[-1].rows, told[-1].failed) == (20_000, 5)
    with pytest.warns(udfvm.FailedRowsWarning, match="2 of 2 rows .* row 0: ValueError: negative"):
        assert kept.map(pa.table({"x": [-1, -2]}), on_error="skip") == 0


def test_a_row_that_never_ends_is_left_out() -> None:
    table = pa.table({"x": [1, 2, 7777, 3]})
    with pytest.warns(udfvm.FailedRowsWarning, match="row 2: .*; raise timeout_per_row= if"):
        assert kept.map(table, on_error="skip", timeout_per_row=0.1) == 6
    with pytest.raises(udfvm.CallTimeoutError, match="raise timeout_per_row= if") as caught:
        kept.map(table, timeout_per_row=0.1)
    assert caught.value.__notes__[-1] == "udfvm: in rows 0 to 3 of the input"


def test_a_call_reports_the_first_row_that_fails_and_ends_the_other_half() -> None:
    values = np.ones(ROWS, int)
    values[[1000, ROWS // 2]] = -1
    with pytest.raises(udfvm.UDFError, match="row 1000: ValueError: negative"):
        kept(values)
    values[ROWS // 2] = 7777
    with pytest.raises(udfvm.UDFError, match="row 1000: ValueError: negative"):
        kept.with_options(timeout=None)(values)


def test_slow_rows_make_small_batches() -> None:
    told: list[udfvm.Progress] = []
    kept.map(pa.table({"x": np.full(20_000, 1 << 20)}), progress=told.append, threads=1)
    assert told[-1].batches > 4


def test_options_that_an_aggregate_cannot_have() -> None:
    with pytest.raises(udfvm.OptionError, match="on_error='skip' needs an aggregate with merge"):
        followed.map(NUMBERS, on_error="skip")
    with pytest.raises(udfvm.OptionError, match="on_error='null' must be"):
        digest.map(NUMBERS, on_error="null")  # type: ignore[arg-type]
    with (
        udfvm.Pool(size=1) as pool,
        pytest.raises(udfvm.OptionError, match="a pool of at least 2 VMs"),
    ):
        digest.with_options(pool=pool).map(NUMBERS, on_error="skip")


ENDLESS = """
    import os, signal
    import sys
    import pyarrow as pa
    import pyarrow.compute as pc
    import udfvm.arrow

    def begun(x: int) -> None:
        os.write(1, b"ready\\n")  # one write: two threads do it

    @udfvm.aggregate(timeout=None, host_functions=[begun])
    class endless:
        def step(self, x: int) -> None:
            if x > 100_000:
                begun(x)
                while True:
                    pass
        def merge(self, other) -> None: ...
        def finish(self) -> int:
            return 1

    signal.signal(signal.SIGINT, signal.default_int_handler)
    udfvm.arrow.register(None, endless)
    numbers = pa.array(range(300_000))
    calls = {
        "map": lambda: endless.map(pa.table({"x": numbers}), threads=2),
        "call": lambda: endless(numbers),
        "compute": lambda: pc.call_function("endless", [numbers]),
    }
    try:
        calls[sys.argv[1]]()
    except KeyboardInterrupt:
        print("ended", flush=True)
"""


@pytest.mark.parametrize("call", ["map", "call", "compute"])
def test_ctrl_c_ends_the_calls_of_all_threads(call: str) -> None:
    program = [sys.executable, "-c", textwrap.dedent(ENDLESS), call]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "ready\n"
        process.send_signal(2)
        rest, _ = process.communicate(timeout=60)
    assert rest == "ended\n"
    assert process.returncode == 0
