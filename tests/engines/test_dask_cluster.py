"""Functions on the workers of a cluster of Dask: two processes with two threads each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from engine_functions import HALF_FAILS, half_by_value

import udfvm
from udfvm.images.cache_listing import names_in_cache

dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

FRAME = pd.DataFrame({"x": [1.0, 2.0, 0.0, 1.0]})


HALF = half_by_value()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            yield client


@pytest.fixture
def frame() -> Any:
    return dd.from_pandas(FRAME, npartitions=4)


def running(client: Any, function: udfvm.ScalarFunction) -> int:
    """How many calls of a function the workers make."""
    return sum(client.run(_busy_of(function)).values())


def _busy_of(function: udfvm.ScalarFunction) -> Callable[[], int]:
    """Returns what counts the calls of a process: a function that workers need not import."""

    def busy() -> int:
        statistics = function.pool.statistics()
        return statistics.live - statistics.idle

    return busy


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def begun(client: Any, lazy: Any) -> Any:
    """Returns the future of four endless calls that run."""
    future = client.compute(lazy)
    wait_until(lambda: running(client, HALF) == 4)
    return future


def test_images_are_prepared_on_workers(client: Any, frame: Any) -> None:
    client.run(udfvm.prepare, HALF)
    before = names_in_cache()
    made = udfvm.dask.map_partitions(HALF, frame)
    assert made.compute().to_list() == [0.5, 1.0, 0.0, 0.5]
    path = HALF.prepare().image.path
    assert path is not None and any(name.endswith(path.name) for name in before)


def test_errors_arrive_whole(client: Any, frame: Any) -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        udfvm.dask.map_partitions(HALF, frame - 1).compute()
    error = caught.value
    assert (error.guest_type, error.guest_message) == ("ValueError", "negative")
    assert (error.udf, error.row) == ("half", 0)
    assert "'half', row 0 of its partition: ValueError: negative" in str(error)
    assert HALF_FAILS in str(error)
    slow = udfvm.dask.map_partitions(HALF.with_options(timeout=0.1), frame + 3)
    with pytest.raises(udfvm.CallTimeoutError, match="did not end within"):
        slow.compute()


def test_cancelled_futures_end_their_calls(client: Any, frame: Any) -> None:
    endless = udfvm.dask.map_partitions(HALF, frame + 3)
    future = begun(client, endless)
    future.cancel()
    wait_until(lambda: running(client, HALF) == 0)
    future = begun(client, endless)
    del future
    wait_until(lambda: running(client, HALF) == 0)
    assert udfvm.dask.map_partitions(HALF, frame).compute().to_list() == [0.5, 1.0, 0.0, 0.5]


def test_a_cancelled_task_that_is_wanted_again_is_made_again(client: Any, frame: Any) -> None:
    endless = udfvm.dask.map_partitions(HALF.with_options(deterministic=True), frame + 3)
    function = HALF.with_options(deterministic=True)
    first = client.compute(endless)
    wait_until(lambda: running(client, function) == 4)
    first.cancel()
    second = client.compute(endless)
    wait_until(lambda: running(client, function) == 4)
    second.cancel()
    wait_until(lambda: running(client, function) == 0)


def test_workers_that_close_end_their_calls(frame: Any) -> None:
    endless = udfvm.dask.map_partitions(HALF, frame + 3)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster, set_as_default=False) as client:
            future = client.compute(endless)
            wait_until(lambda: _busy_of(HALF)() == 4)
            cluster.close()
            wait_until(lambda: _busy_of(HALF)() == 0)
            assert future.status != "finished"
