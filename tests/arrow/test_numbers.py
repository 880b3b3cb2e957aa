"""Columns of numbers go from Arrow's kernels to a VM, and back, without Python code between."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

import udfvm
import udfvm.arrow
from udfvm.functions import arrow_registry
from udfvm.limits import WINDOW

pytestmark = pytest.mark.skipif(not arrow_registry.HAS_KERNELS, reason="kernels were not built")

factor = 2


@udfvm.udf(vectorized=True, input_types=["double", "int32"], output_type="double")
def weighed(x: np.ndarray, weight: np.ndarray):  # type: ignore[no-untyped-def]
    if weight[0] == 13:
        raise ValueError("thirteen")
    if weight[0] == 14:
        return pa.array([None, *(x[1:] * weight[1:])])
    if weight[0] == 15:
        while True:
            pass
    return x * weight + 1


@udfvm.udf(vectorized=True, elementwise=True, input_types=["int64"], output_type="int8")
def narrowed(x: np.ndarray) -> np.ndarray:
    return (x % 100).astype(np.int8)


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def scaled(x: np.ndarray) -> np.ndarray:
    return x * factor


def numbers(rows: int, seed: int = 0) -> tuple[pa.Array, pa.Array]:
    random = np.random.default_rng(seed)
    return pa.array(random.random(rows)), pa.array(random.integers(1, 10, rows, np.int32))


def expected(x: pa.Array, weight: pa.Array) -> pa.Array:
    return pa.array(x.to_numpy() * weight.to_numpy() + 1)


@pytest.fixture(scope="module", autouse=True)
def _seen() -> None:
    udfvm.arrow.register(None, weighed, narrowed, scaled)
    assert pc.call_function("weighed", list(numbers(3))).equals(expected(*numbers(3)))
    assert pc.call_function("narrowed", [pa.array([101, 2])]).to_pylist() == [1, 2]
    assert pc.call_function("scaled", [pa.array([1.5])]).to_pylist() == [3.0]


@pytest.fixture
def only_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python code is not called."""

    def caller(_context: Any, _arguments: tuple[Any, ...]) -> Any:
        raise AssertionError("Python code is called")

    for name in ("weighed", "narrowed", "scaled"):
        monkeypatch.setattr(arrow_registry._registered[name], "caller", caller)


# Results in the window, of a page, in scratch, borrowed, and of as many rows as one window takes.
SIZES = [1, 7, 1000, 50_000, 65_536, 131_072, 300_000, 1_000_000]


@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("rows", SIZES)
def test_sizes(rows: int) -> None:
    x, weight = numbers(rows + 3, rows)
    x, weight = x.slice(3), weight.slice(3)
    own = pa.proxy_memory_pool(pa.default_memory_pool())
    for pool in (None, own, None):
        result = pc.call_function("weighed", [x, weight], memory_pool=pool)
        result.validate(full=True)
        assert result.null_count == 0 and result.equals(expected(x, weight))
        assert own.bytes_allocated() >= (result.nbytes if pool is own else 0)
        del result
    assert own.bytes_allocated() == 0


@pytest.mark.usefixtures("only_kernels")
def test_widths_differ() -> None:
    values = pa.array(np.arange(3_000_000))
    result = pc.call_function("narrowed", [values])
    assert result.equals(pa.array((np.arange(3_000_000) % 100).astype(np.int8)))


def test_columns_that_do_not_fit_a_window() -> None:
    rows = WINDOW // 8 + 1000
    result = pc.call_function("narrowed", [pa.array(np.arange(rows))])
    assert len(result) == rows and result[rows - 1].as_py() == (rows - 1) % 100


@pytest.mark.usefixtures("only_kernels")
def test_results_are_kept() -> None:
    """Some lie in memory of VMs, which stay out of use as long, and not more than a few."""
    columns = [numbers(200_000, seed) for seed in range(7)]
    for _ in range(3):
        kept = [pc.call_function("weighed", list(each)) for each in columns]
        pool = weighed._calls.ready().pool
        assert pool.borrowed_count == 4
        for result, each in zip(kept, columns, strict=True):
            assert result.equals(expected(*each))
        part = kept[2].slice(5, 10)
        del kept, result
        gc.collect()
        assert pool.borrowed_count == 1
        assert part.equals(expected(*columns[2]).slice(5, 10))
        del part
        assert pool.borrowed_count == 0


@pytest.mark.usefixtures("only_kernels")
def test_threads() -> None:
    """Some results are dropped on other threads than they were made on."""
    wrong: list[int] = []
    results: list[pa.Array] = []

    def work(seed: int) -> None:
        for rows in (10, 150_000, 1000, 200_000 + seed):
            x, weight = numbers(rows, seed)
            for _ in range(4):
                result = pc.call_function("weighed", [x, weight])
                if not result.equals(expected(x, weight)):
                    wrong.append(seed)
                results.append(result)
                if len(results) > 3:
                    results.pop(0)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.clear()
    assert not wrong
    assert weighed._calls.ready().pool.borrowed_count == 0


@pytest.mark.parametrize("threads", [False, True])
def test_scans(threads: bool) -> None:
    x = np.random.default_rng(1).random(1_500_000)
    dataset = ds.dataset(pa.table({"x": x}))
    function = udfvm.udf(
        lambda x: np.exp(np.sin(x)),
        name="scanned",
        vectorized=True,
        elementwise=True,
        input_types=["double"],
        output_type="double",
    )
    columns = {"y": function.expr(ds.field("x"))}
    for _ in range(2):
        made = dataset.to_table(columns=columns, use_threads=threads)
        assert not function._calls.ready().pool.borrowed_count  # VMs are free while it goes on
        assert np.array_equal(made["y"].to_numpy(), np.exp(np.sin(x)))


@pytest.mark.usefixtures("only_kernels")
def test_chunks_and_record_batches() -> None:
    """Those go through the executors of kernels: a vector function sees a column as a whole."""
    x, weight = numbers(1000)
    chunked = [
        pa.chunked_array([column.slice(0, 300), column.slice(300)]) for column in (x, weight)
    ]
    made = pc.call_function("weighed", chunked)
    assert pa.concat_arrays(made.chunks if isinstance(made, pa.ChunkedArray) else [made]).equals(
        expected(x, weight)
    )
    values = pa.chunked_array([[101, 2], [], [350]], pa.int64())
    assert pc.call_function("narrowed", [values]).to_pylist() == [1, 2, 50]
    table = pa.table({"x": pa.array([101, 2, 350])})
    columns = {"y": narrowed.expr(ds.field("x"))}
    assert ds.dataset(table).to_table(columns=columns)["y"].to_pylist() == [1, 2, 50]


def test_other_types_are_cast() -> None:
    assert pc.call_function("narrowed", [pa.array([7, 8], pa.int16())]).to_pylist() == [7, 8]
    with pytest.raises(pa.ArrowNotImplementedError):
        pc.call_function("narrowed", [pa.array([0.5])])
    with pytest.raises(ValueError, match="2"):
        pc.call_function("weighed", list(numbers(3))[:1])


def test_nulls_and_values_are_left_to_python() -> None:
    x, weight = numbers(5)
    with_null = pa.array([1.0, None, 3.0, 4.0, 5.0])
    result = pc.call_function("weighed", [with_null, weight])
    assert result.null_count == 1 and result.equals(weighed(with_null, weight))
    assert pc.call_function("weighed", [x, pa.scalar(3, pa.int32())]).equals(
        pa.array(x.to_numpy() * 3 + 1)
    )
    assert len(pc.call_function("weighed", [x.slice(0, 0), weight.slice(0, 0)])) == 0


@pytest.mark.usefixtures("only_kernels")
def test_a_result_with_nulls() -> None:
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    x = pa.array([1.0, 2.0])
    result = pc.call_function("weighed", [x, pa.array([14, 3], pa.int32())], memory_pool=pool)
    assert result.to_pylist() == [None, 6.0]
    assert pool.bytes_allocated() >= result.nbytes
    del result
    assert pool.bytes_allocated() == 0


@pytest.mark.usefixtures("only_kernels")
def test_failures_say_what_they_say_elsewhere() -> None:
    x = pa.array([1.0, 2.0])
    with pytest.raises(udfvm.UDFError, match="thirteen") as raised:
        pc.call_function("weighed", [x, pa.array([13, 13], pa.int32())])
    assert "weighed" in str(raised.value)
    quick = weighed.with_options(timeout=0.2)
    udfvm.arrow.register(None, quick)
    try:
        pc.call_function("weighed", list(numbers(2)))
        with pytest.raises(udfvm.CallTimeoutError):
            pc.call_function("weighed", [x, pa.array([15, 15], pa.int32())])
        assert pc.call_function("weighed", list(numbers(9))).equals(expected(*numbers(9)))
    finally:
        udfvm.arrow.register(None, weighed)


def test_names_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "factor", 5)
    assert pc.call_function("scaled", [pa.array([1.5])]).to_pylist() == [7.5]
    monkeypatch.undo()
    assert pc.call_function("scaled", [pa.array([1.5])]).to_pylist() == [3.0]


def test_another_function_of_the_name_and_none() -> None:
    def made(number: int) -> udfvm.ScalarFunction:
        return udfvm.udf(
            lambda x: x + number,
            name="changing",
            vectorized=True,
            input_types=["int64"],
            output_type="int64",
        )

    for number in (1, 2, 3):
        udfvm.arrow.register(None, made(number))
        for _ in range(3):
            assert pc.call_function("changing", [pa.array([10])]).to_pylist() == [10 + number]
    udfvm.arrow.unregister(None, "changing")
    with pytest.raises(udfvm.UnknownUDFError):
        pc.call_function("changing", [pa.array([10])])
    udfvm.arrow.register(None, made(4))
    assert pc.call_function("changing", [pa.array([10])]).to_pylist() == [14]


def test_a_closed_pool() -> None:
    with udfvm.Pool(size=1) as pool:
        halved = udfvm.udf(
            lambda x: x / 2,
            name="halved_in_a_pool",
            vectorized=True,
            input_types=["double"],
            output_type="double",
            pool=pool,
        )
        udfvm.arrow.register(None, halved)
        for _ in range(2):
            assert pc.call_function("halved_in_a_pool", [pa.array([2.0])]).to_pylist() == [1.0]
    with pytest.raises(udfvm.PoolClosedError):
        pc.call_function("halved_in_a_pool", [pa.array([2.0])])


def test_a_forked_child_calls_and_drops() -> None:
    kept = pc.call_function("weighed", list(numbers(200_000)))
    child = os.fork()
    if not child:
        code = 1
        try:
            if pc.call_function("weighed", list(numbers(3))).equals(expected(*numbers(3))):
                code = 0 if kept.equals(expected(*numbers(200_000))) else 2
            del kept
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.equals(expected(*numbers(200_000)))
