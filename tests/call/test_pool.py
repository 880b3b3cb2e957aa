"""Pools: how many VMs there are, who waits for them, and what becomes of them."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import apsw
import numpy as np
import pytest

import udfvm
import udfvm.sqlite


@pytest.fixture
def pool() -> Iterator[udfvm.Pool]:
    with udfvm.Pool(size=2, wait=0.2) as made:
        yield made


def waits(pool: udfvm.Pool) -> udfvm.ScalarFunction:
    @udfvm.udf(pool=pool)
    def wait(seconds: float) -> float:
        import time

        started = time.time()
        while time.time() - started < seconds:
            pass
        return started

    return wait


def test_settings_that_make_no_sense() -> None:
    for settings in (
        {"size": 0},
        {"size": 5000},
        {"keep": -1},
        {"keep_seconds": -1},
        {"wait": -0.1},
    ):
        with pytest.raises(ValueError, match="must"):
            udfvm.Pool(**settings)  # type: ignore[arg-type]


def test_functions_have_the_default_pool() -> None:
    @udfvm.udf
    def plain(x: int) -> int:
        return x

    assert plain.pool is udfvm.Pool.default()
    assert plain(1) == 1
    assert udfvm.Pool.default().statistics().live >= 1


def test_calls_of_threads_run_at_once(pool: udfvm.Pool) -> None:
    """Each of two calls waits until it has seen that both are in flight."""
    wait = waits(pool)
    wait(0.0)
    intervals: list[tuple[float, float]] = []

    def call() -> None:
        started = wait(0.5)
        intervals.append((started, started + 0.5))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first, first_end), (second, second_end) = intervals
    assert max(first, second) < min(first_end, second_end)
    assert pool.statistics() == (2, 2, 2)


def test_calls_wait_for_a_vm_and_then_give_up(pool: udfvm.Pool) -> None:
    wait = waits(pool)
    wait(0.0)
    core, image = pool._for_base(wait.image.base), wait.image
    with core.vm(image), core.vm(image):
        assert pool.statistics() == (2, 2, 0)
        with pytest.raises(udfvm.BusyError, match=r"all 2 VMs of the pool are busy; .*Pool\(size="):
            wait(0.0)
    assert wait(0.0) > 0


def test_warming_up_makes_vms_ready(pool: udfvm.Pool) -> None:
    @udfvm.udf(pool=pool)
    def fails_on_zero(x: float) -> float:
        return 1 / x

    @udfvm.udf(
        pool=pool, vectorized=True, input_types=["double"], output_type="double", packages=["numpy"]
    )
    def doubled(x):  # type: ignore[no-untyped-def]
        return x

    assert pool.warm(fails_on_zero, vms=9).result(60) == 2
    assert pool.statistics() == (2, 2, 2)
    assert pool.warm(doubled).result(60) == 1
    assert fails_on_zero(4.0) == 0.25
    assert pool.statistics().live >= 3  # the other function has a base image of its own


def test_warming_up_tells_what_went_wrong(pool: udfvm.Pool) -> None:
    @udfvm.udf(pool=pool, sample=(0,))
    def broken(x: int) -> int:
        return 1 // x

    with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
        pool.warm(broken).result(60)


def test_idle_vms_are_bounded_and_trimmed() -> None:
    with udfvm.Pool(size=6, keep=3, keep_seconds=0.2) as pool:
        wait = waits(pool)
        assert pool.warm(wait, vms=6).result(60) == 6
        assert pool.statistics().live >= 3  # the other function has a base image of its own
        deadline = time.monotonic() + 30
        while pool.statistics().live > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pool.statistics() == (6, 1, 1)
        pool.trim()
        assert pool.statistics() == (6, 0, 0)
        assert wait(0.0) > 0


@pytest.mark.parametrize("end", ["close", "trim", "collected"])
def test_no_thread_stays_for_a_pool_that_has_nothing_to_trim(end: str) -> None:
    """However long it would have slept until its next look."""
    before = set(threading.enumerate())
    pool = udfvm.Pool(size=2, keep_seconds=1e9)
    wait = waits(pool)
    pool.warm(wait, vms=2).result()
    threads = [threading.Thread(target=wait, args=(0.1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = np.arange(200_000.0)
    wait(numbers * 0)  # whose memory is given back later
    [trimmer] = {each for each in threading.enumerate() if each.name == "udfvm-trim"} - before
    if end == "close":
        pool.close()
    elif end == "trim":
        pool.trim()
    else:
        del pool, wait, threads, thread
        gc.collect()
    trimmer.join(timeout=60)
    assert not trimmer.is_alive()


def test_a_closed_pool_makes_no_calls() -> None:
    pool = udfvm.Pool(size=2)
    wait, early = waits(pool), waits(pool)
    wait(0.0)
    thread = threading.Thread(target=wait, args=(0.5,))
    thread.start()
    while pool.statistics().idle and thread.is_alive():  # or the call is over already
        time.sleep(0.001)
    pool.close()
    for function in (wait, early):
        with pytest.raises(udfvm.PoolClosedError, match="closed"):
            function(0.0)
    thread.join()
    assert pool.statistics() == (2, 0, 0)


def test_a_pool_of_one_serves_large_results() -> None:
    with udfvm.Pool(size=1, wait=5) as pool:

        @udfvm.udf(pool=pool, vectorized=True, input_types=["double"], output_type="double")
        def doubled(x: np.ndarray) -> np.ndarray:
            return x * 2

        kept = [doubled(np.full(300_000, float(index))) for index in range(3)]
        assert [each[-1] for each in kept] == [0.0, 2.0, 4.0]


def test_a_forked_child_has_a_pool_of_its_own(pool: udfvm.Pool) -> None:
    wait = waits(pool)
    wait(0.0)
    child = os.fork()
    if child == 0:
        before = pool.statistics().live
        os._exit(0 if before == 0 and wait(0.0) > 0 and pool.statistics().live == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert wait(0.0) > 0


def test_the_interpreter_exits_cleanly() -> None:
    program = """
        import threading, numpy as np, udfvm

        pool = udfvm.Pool(size=4, keep_seconds=0.5)

        @udfvm.udf(pool=pool, vectorized=True, input_types=["double"], output_type="double")
        def doubled(x: np.ndarray) -> np.ndarray:
            return x * 2

        @udfvm.udf(pool=pool)
        def forever(x: int) -> int:
            while True:
                pass

        kept = [doubled(np.ones(300_000)) for _ in range(4)]
        pool.warm(doubled, vms=2)
        threading.Thread(target=forever, args=(1,), daemon=True).start()
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_a_pool_that_keeps_none_idle() -> None:
    with udfvm.Pool(size=2, keep=0) as pool:

        @udfvm.udf(pool=pool)
        def next_one(x: int) -> int:
            return x + 1

        assert [next_one(1), next_one(2), next_one(np.array([3]))[0]] == [2, 3, 4]
        assert pool.statistics() == (2, 0, 0)


def _is_in_a_call(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_filename.startswith(udfvm.__path__[0])


def test_closing_ends_the_wait_for_a_vm() -> None:
    pool = udfvm.Pool(size=1, wait=600.0)
    outcomes: list[object] = []

    @udfvm.udf(pool=pool, timeout=600.0)
    def wait(until_zero: int) -> int:
        while until_zero:
            pass
        return 1

    assert wait(0) == 1
    with pool._for_base(wait.image.base).vm(wait.image):  # the only VM is in use

        def call() -> None:
            try:
                outcomes.append(wait(0))
            except udfvm.PoolClosedError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        while not all(_is_in_a_call(thread) for thread in threads):
            time.sleep(0.001)
        pool.close()
        for thread in threads:
            thread.join()
    assert (
        outcomes
        == [
            "UDF 'wait': the pool is closed: bind the function to another pool, or call it before"
            " the pool is closed"
        ]
        * 8
    )
    assert pool.statistics() == (1, 0, 0)


def test_sql_on_a_closed_pool() -> None:
    pool = udfvm.Pool(size=2)

    @udfvm.udf(pool=pool)
    def used(x: int) -> int:
        return x + 1

    @udfvm.udf(pool=pool)
    def unused(x: int) -> int:
        return x + 1

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, used, unused)
    rows = connection.execute("SELECT used(value) FROM json_each('[1, 2, 3]')")
    assert next(rows) == (2,)
    pool.close()
    assert list(rows) == [(3,), (4,)]  # the call that had begun is finished
    for query in (
        "SELECT used(1)",
        "SELECT vm_udf('unused', 1)",
        "SELECT * FROM vm_map('used', 'SELECT 1, 1')",
    ):
        with pytest.raises(apsw.SQLError, match="the pool is closed: bind the function to another"):
            connection.execute(query).fetchall()
    connection.close()
    assert pool.statistics() == (2, 0, 0)


def _uses(pool: udfvm.Pool, twice: udfvm.ScalarFunction, chance: random.Random) -> bool:
    """Does one thing with a pool; False where the outcome is wrong."""
    columns = [np.arange(3), np.arange(200_000)]
    match chance.randrange(5):
        case 0:
            number = chance.randrange(100)
            return bool(twice(number) == 2 * number)
        case 1 | 2 as which:
            return bool((twice(columns[which - 1]) == 2 * columns[which - 1]).all())
        case 3:
            pool.trim(chance.randrange(3))
            return True
        case _:
            return pool.statistics().live <= 3


@pytest.mark.parametrize("keep", [0, 1, 8])
def test_eight_threads_do_everything_with_a_pool(keep: int) -> None:
    pool = udfvm.Pool(size=3, keep=keep, keep_seconds=0.01, wait=600.0)

    @udfvm.udf(pool=pool, timeout=600)
    def twice(x: int) -> int:
        return 2 * x

    twice.prepare()
    wrong: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for turn in range(25):
            if seed == 7 and turn == 20:
                pool.close()
            try:
                right = _uses(pool, twice, chance)
            except udfvm.PoolClosedError:
                right = pool._closed
            except BaseException as error:  # noqa: BLE001 - of a thread: the test tells it
                right = False
                wrong.append(error)
            if not right:
                wrong.append((seed, turn))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert pool.statistics() == (3, 0, 0)
