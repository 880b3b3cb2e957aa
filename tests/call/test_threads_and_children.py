"""Threads and forked children call functions, and keep the results that they have."""

from __future__ import annotations

import gc
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scalar_functions import doubled, score


def test_threads() -> None:
    score.prepare()
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda number: score(float(number), 100.0), range(200)))
    assert results == [float(number) for number in range(200)]


def test_forked_children_make_vms_of_their_own() -> None:
    assert score(12.0, 300.0) == 4.0
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(score.__call__, (12.0, 300.0)) == 4.0
    assert score(12.0, 300.0) == 4.0


def test_forked_children_keep_results() -> None:
    """Results that a child inherited do not change with the parent's, and the child can call on."""
    values = np.arange(1_000_000, dtype=np.float64)
    kept = [
        doubled(pa.array(values)),
        doubled(pa.chunked_array([values, values])),
        doubled(pa.array(values[:10])),
    ]
    in_numpy = doubled(values)
    expected = [pc.sum(each).as_py() for each in kept]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(reader, 1)
            status = int(
                not np.array_equal(in_numpy, values * 2)
                or [pc.sum(each).as_py() for each in kept] != expected
            )
            del kept, in_numpy
            status += 2 * int(doubled(values)[-1] != values[-1] * 2)
        finally:
            os._exit(status)
    assert [pc.sum(each).as_py() for each in kept] == expected
    del kept, in_numpy
    for number in range(6):
        np.testing.assert_array_equal(doubled(values + number), (values + number) * 2)
    os.write(writer, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    os.close(writer)


def test_large_results_outlive_calls() -> None:
    """A result never becomes that of another call, however many are kept and whoever drops them."""
    values = np.arange(400_000, dtype=np.float64)

    def several(first: int) -> None:
        kept = []
        for number in range(first, first + 12):
            column = values + number
            kept.append((number, doubled(pa.array(column) if number % 2 else column)))
            if number % 3 == 0:
                del kept[0]
        for number, result in kept:
            np.testing.assert_array_equal(result, (values + number) * 2)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(several, (0, 1000, 2000)))
    for _ in range(6):  # dropped in a garbage collection
        cycle = [doubled(values)]
        cycle.append(cycle)  # type: ignore[arg-type]
    del cycle
    gc.collect()
    written = doubled(values)
    written += 1
    np.testing.assert_array_equal(doubled(values), values * 2)
    np.testing.assert_array_equal(written, values * 2 + 1)
