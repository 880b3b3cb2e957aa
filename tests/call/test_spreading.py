"""Direct calls with many rows are spread over several VMs."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from busy_processes import await_busy

import udfvm
from udfvm.call import spreading

ROWS = 40_000
SEVERAL = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")


def slow_inverse(x: int) -> float | None:
    """Takes some microseconds, gives None for odd numbers and fails at 0."""
    value = sum(range(100))
    return None if x % 2 else value / (value * x)


def endless_for_some(x: int) -> int:
    """Takes for ever for large numbers and fails at negative ones."""
    if x < 0:
        raise ValueError("negative")
    while x > 20_000:
        pass
    return x + sum(range(100))


def slow_double(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    for _ in range(40):
        np.sort(np.sin(x))
    return x * 2


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that computed parts."""
    seen: set[str] = set()
    compute = spreading._Spread._compute

    def noted(self: Any, part: Any) -> list[Any]:
        seen.add(threading.current_thread().name)
        return compute(self, part)

    monkeypatch.setattr(spreading._Spread, "_compute", noted)
    return seen


@pytest.fixture
def pool() -> Iterator[udfvm.Pool]:
    with udfvm.Pool(size=8) as made:
        yield made


@SEVERAL
@pytest.mark.parametrize(
    "container", [np.array, pa.array, pd.Series, lambda x: pa.chunked_array([x[:9], x[9:]])]
)
def test_many_rows_are_computed_by_several_vms(
    pool: udfvm.Pool, container: Any, workers: set[str]
) -> None:
    inverse = udfvm.udf(slow_inverse, pool=pool)
    double = udfvm.udf(slow_double, vectorized=True, elementwise=True, pool=pool)
    values = np.arange(1, ROWS + 1)
    for _ in range(3):  # how fast the function is is not known the first time
        found = inverse(container(values))
        doubled = double(container(values))
        assert type(doubled) is type(container(values))
        if not isinstance(doubled, pa.Array):  # which have a class for each type
            assert type(found) is type(doubled)
        numbers = found.to_pylist() if hasattr(found, "to_pylist") else found.tolist()
        assert len(numbers) == ROWS
        assert all(each is None or math.isnan(each) for each in numbers[::2])
        assert numbers[1::2] == pytest.approx([1 / x for x in range(2, ROWS + 1, 2)])
        np.testing.assert_array_equal(np.array(doubled), values * 2)
    assert workers >= {"udfvm-helper", threading.current_thread().name}


@SEVERAL
def test_results_without_nulls_are_one_piece(pool: udfvm.Pool) -> None:
    double = udfvm.udf(slow_double, vectorized=True, elementwise=True, pool=pool)
    values = np.arange(ROWS)
    for _ in range(3):
        found = double(values)
        assert found.flags.writeable
        assert found.flags.c_contiguous
        chunked = double(pa.chunked_array([values[:5], values[5:]]))
        assert chunked.to_pylist() == (values * 2).tolist()
    assert chunked.num_chunks == 1


@pytest.mark.parametrize("row", [0, 1023, 1024, 30_000, ROWS - 1])
def test_the_first_row_that_fails_is_reported(pool: udfvm.Pool, row: int) -> None:
    inverse = udfvm.udf(slow_inverse, pool=pool)
    values = np.arange(1, ROWS + 1) * 2
    for _ in range(3):
        assert len(inverse(values)) == ROWS
        failing = values.copy()
        failing[[row, ROWS - 1]] = 0
        with pytest.raises(udfvm.UDFError, match=f"row {row}: ZeroDivisionError") as caught:
            inverse(failing)
        assert caught.value.row == row


def test_a_failure_ends_the_parts_behind_it(pool: udfvm.Pool) -> None:
    endless = udfvm.udf(endless_for_some, pool=pool, timeout=300)
    values = np.ones(ROWS, int)
    for _ in range(2):
        endless(values)
    values[29_500] = -1
    values[30_000::1000] = 1 << 20
    for _ in range(3):
        with pytest.raises(udfvm.UDFError, match="row 29500: ValueError: negative"):
            endless(values)
    assert not [each for each in threading.enumerate() if each.name.startswith("udfvm-helper")]


def test_few_rows_and_functions_of_whole_batches_are_one_call(
    pool: udfvm.Pool, workers: set[str]
) -> None:
    inverse = udfvm.udf(slow_inverse, pool=pool)
    for _ in range(3):
        assert len(inverse(np.arange(1, 8000))) == 7999
        whole = udfvm.udf(lambda x: x[::-1], vectorized=True, input_types=["int64"],
                          output_type="int64", name="whole", pool=pool)  # fmt: skip
        assert whole(pa.array(range(ROWS)))[0].as_py() == ROWS - 1
    assert not workers


@pytest.mark.parametrize("size", [1, 2])
def test_no_more_vms_than_the_pool_has(size: int) -> None:
    values = np.arange(1, ROWS + 1) * 2
    with udfvm.Pool(size=size, wait=0) as pool:
        inverse = udfvm.udf(slow_inverse, pool=pool)
        for _ in range(3):
            assert len(inverse(values)) == ROWS
            assert pool.statistics().live <= size


def test_a_call_in_a_call_takes_the_vms_that_are_left() -> None:
    """With the VM that its caller's call has, it would wait for ever."""
    with udfvm.Pool(size=2, wait=0) as pool:
        inverse = udfvm.udf(slow_inverse, pool=pool)

        def inner(count: int) -> int:
            return len(inverse(np.arange(1, count + 1)))

        @udfvm.udf(pool=pool, host_functions=[inner], timeout=60)
        def outer(count: int) -> int:
            return inner(count)

        assert [outer(ROWS) for _ in range(3)] == [ROWS] * 3
        assert pool.statistics().live == 2


def test_calls_of_many_threads_share_a_pool() -> None:
    with udfvm.Pool(size=3, wait=60) as pool:
        inverse = udfvm.udf(slow_inverse, pool=pool)
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(len(inverse(np.arange(1, ROWS + 1)))))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [ROWS] * 5
        assert pool.statistics().live <= 3


def test_host_functions_are_called_by_the_caller_alone(pool: udfvm.Pool) -> None:
    threads = set()

    def note(x: int) -> int:
        threads.add(threading.get_ident())
        return x

    @udfvm.udf(pool=pool, host_functions=[note], host_calls=ROWS, timeout=60)
    def noted(x: int) -> int:
        return note(x)

    for _ in range(2):
        assert noted(np.arange(9000)).tolist() == list(range(9000))
    assert threads == {threading.get_ident()}


LATE = rf"^UDF 'slow': the call did not end within 1 s: none of its {ROWS} rows has a result; raise"


def test_limits_count_for_the_whole_call(pool: udfvm.Pool) -> None:
    @udfvm.udf(pool=pool, timeout=1)
    def slow(x: int) -> int:
        end = time.monotonic() + 0.0002
        while time.monotonic() < end:
            pass
        return x

    with pytest.raises(udfvm.CallTimeoutError, match=LATE):
        slow(np.arange(ROWS))  # 8 s; a part of it takes far less than its deadline
    assert slow(np.arange(10)).tolist() == list(range(10))

    wide = udfvm.udf(lambda x: "x" * x, name="wide", input_types=["int64"], output_type="string",
                     max_output=ROWS * 6, pool=pool)  # fmt: skip
    assert len(wide(pa.array([1] * ROWS))) == ROWS
    for _ in range(2):
        with pytest.raises(udfvm.OutputLimitError, match="max_output="):
            wide(pa.array([3] * ROWS))


def test_what_parts_print_is_passed_on(
    pool: udfvm.Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    @udfvm.udf(pool=pool)
    def prints(x: int) -> int:
        if x % 10_000 == 0:
            print("row", x)
        return x + sum(range(100))

    for _ in range(2):
        prints(np.arange(ROWS))
        lines = sorted(capsys.readouterr().out.splitlines())
        assert lines == [f"row {x}" for x in range(0, ROWS, 10_000)]


def test_ctrl_c_ends_all_parts(pool: udfvm.Pool) -> None:
    endless = udfvm.udf(endless_for_some, pool=pool, timeout=300)
    endless(np.arange(20_000))
    before = threading.active_count()

    def interrupt() -> None:
        while pool.statistics().idle == pool.statistics().live:
            time.sleep(0.01)
        await_busy(os.getpid())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        endless(np.arange(60_000))
    sender.join()
    assert not [each for each in threading.enumerate() if each.name.startswith("udfvm-helper")]
    assert threading.active_count() <= before + 1  # the pool's, which closes idle VMs
    assert endless(np.arange(10)).tolist() == [x + sum(range(100)) for x in range(10)]


@SEVERAL
def test_another_thread_measures_the_function_meanwhile(
    pool: udfvm.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_short(pace: spreading.Pace, _: int) -> bool:
        pace.seconds = 1e-12  # as the other thread does after this one has looked
        return False

    monkeypatch.setattr(spreading.Pace, "is_short", is_short)
    found = udfvm.udf(slow_inverse, pool=pool)(pa.array(range(1, ROWS + 1)))
    assert found.to_pylist() == [None if x % 2 else 1 / x for x in range(1, ROWS + 1)]
