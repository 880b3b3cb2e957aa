"""Small batches of numpy arrays, which take a way of their own, in C, from the second call on."""

from __future__ import annotations

import gc
import os
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm.call.fast_path import MAX_REQUEST


@udfvm.udf(vectorized=True, input_types=["double", "int32"], output_type="double")
def weighted(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if len(x) and weight[0] == 13:
        raise ValueError("thirteen")
    if len(x) and weight[0] == 14:
        return np.zeros(3)
    return x * weight + 1


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64")
def positive(x: pa.Int64Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pc.greater(x, 0), x, None)


def arguments(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.random(rows), random.integers(1, 10, rows, dtype=np.int32)


@pytest.fixture(scope="module", autouse=True)
def _seen() -> None:
    x, weight = arguments(10)
    assert np.array_equal(weighted(x, weight), x * weight + 1)
    assert weighted._calls._small is not None


@pytest.mark.parametrize(
    "rows", [1, 7, 8, 1000, MAX_REQUEST // 12 - 100, MAX_REQUEST // 8, 100_000]
)
def test_sizes(rows: int) -> None:
    x, weight = arguments(rows, rows)
    result = weighted(x, weight)
    assert np.array_equal(result, x * weight + 1)
    assert result.dtype == np.float64
    result[0] = 5.0  # it is the caller's own
    assert np.array_equal(weighted(x, weight), x * weight + 1)


@pytest.mark.parametrize("make", [np.asarray, pa.array], ids=["numpy", "arrow"])
def test_results_that_are_much_wider(make: Callable[[np.ndarray], Any]) -> None:
    """The guest leaves them where they are. What lies before them is not copied."""

    @udfvm.udf(vectorized=True, input_types=["int8"], output_type="double")
    def halved(x: np.ndarray) -> np.ndarray:
        return x.astype(np.float64) / 2

    assert halved(np.array([1], np.int8)) == 0.5
    x = np.arange(200_000).astype(np.int8)
    given = {rows: make(x[:rows]) for rows in (10, 100_000, 200_000)}
    tracemalloc.start()
    try:
        for rows, column in given.items():
            result = halved._calls._small.call((column,))
            assert np.array_equal(result, np.asarray(halved(column)))
            assert np.array_equal(result, np.asarray(column) / 2), rows
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_other_arguments_take_the_general_path() -> None:
    x, weight = arguments(100)
    expected = x * weight + 1
    frozen = x.copy()
    frozen.flags.writeable = False
    strided = np.repeat(x, 2)[::2]
    assert np.array_equal(weighted(frozen, weight), expected)
    assert np.array_equal(weighted(strided, weight), expected)
    assert np.array_equal(weighted(x.astype(">f8"), weight), expected)
    assert np.array_equal(weighted(x, weight.astype(np.int64)), expected)
    assert np.array_equal(weighted(x, 3), x * 3 + 1)
    assert weighted(pa.array(x), pa.array(weight)).to_pylist() == expected.tolist()
    assert len(weighted(x[:0], weight[:0])) == 0
    with pytest.raises(udfvm.TypeMappingError):
        weighted(x, weight[:50])
    with pytest.raises(udfvm.TypeMappingError):
        weighted(x.reshape(10, 10), weight)


def test_only_contiguous_arrays_of_the_declared_types_take_the_fast_path() -> None:
    small = weighted._calls._small
    assert small is not None
    x, weight = arguments(100)
    assert np.array_equal(small.call((x, weight)), x * weight + 1)
    refused = [
        (x,),
        (x, weight, x),
        (x, weight[:50]),
        (x[:0], weight[:0]),
        (x[::2], weight[::2]),
        (x, 3),
        (x, list(weight)),
        arguments(MAX_REQUEST),
        (x.astype(">f8"), weight),
        (x, weight.astype(np.uint32)),
        (x.reshape(10, 10), weight.reshape(10, 10)),
        (np.ma.array(x), weight),
    ]
    for each in refused:
        assert small.call(each) is NotImplemented
    with pytest.raises(TypeError):
        small.call([x, weight])


def test_the_fast_path_keeps_no_references() -> None:
    x, weight = arguments(100)
    strided = np.repeat(x, 2)[::2]
    gc.collect()  # what earlier tests left may refer to NotImplemented
    counts = [sys.getrefcount(each) for each in (x, weight, strided, NotImplemented)]
    alive = [weakref.ref(weighted(x, weight)) for _ in range(50)]
    for marked in (13, 14):
        weight[0] = marked
        for _ in range(20):
            with pytest.raises(udfvm.UDFError):
                weighted(x, weight)
    for _ in range(20):
        assert weighted._calls._small.call((strided, weight)) is NotImplemented
    gc.collect()
    assert not any(reference() is not None for reference in alive)
    assert [sys.getrefcount(each) for each in (x, weight, strided, NotImplemented)] == counts


def test_threads() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for rows in (10, 1000, 10, 500 + seed):
            x, weight = arguments(rows, seed)
            for _ in range(5):
                if not np.array_equal(weighted(x, weight), x * weight + 1):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_fast_path_raises_that_its_pool_is_closed() -> None:
    with udfvm.Pool(size=1) as pool:

        @udfvm.udf(vectorized=True, input_types=["double"], output_type="double", pool=pool)
        def halved(x: np.ndarray) -> np.ndarray:
            return x / 2

        for _ in range(2):
            assert halved(np.array([2.0])).tolist() == [1.0]
        assert halved._calls._small is not None
    with pytest.raises(udfvm.PoolClosedError):
        halved(np.array([2.0]))


def test_limits_hold() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double", timeout=0.3)
    def endless(x: np.ndarray) -> np.ndarray:
        while len(x) and x[0] > 1:
            pass
        return x + 1

    for _ in range(2):
        assert endless(np.array([1.0])).tolist() == [2.0]
    assert endless._calls._small is not None
    with pytest.raises(udfvm.CallTimeoutError):
        endless(np.array([2.0]))
    assert endless(np.array([1.0])).tolist() == [2.0]


def test_errors() -> None:
    x, weight = arguments(100)
    for marked, message in ((13, "thirteen"), (14, "100")):
        weight[0] = marked
        with pytest.raises(udfvm.UDFError, match=message):
            weighted(x, weight)
    weight[0] = 2
    assert np.array_equal(weighted(x, weight), x * weight + 1)


def test_nulls_in_a_result() -> None:
    values = np.array([1, -1, 5])
    for _ in range(3):
        assert positive(values).tolist() == [1, None, 5]


def test_a_forked_child_makes_its_own_vm() -> None:
    x, weight = arguments(50)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(weighted(x, weight), x * weight + 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(weighted(x, weight), x * weight + 1)
