"""Work of a soak in which things are made and go: functions and their images, pools, threads."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from soaking.checks import equal
from soaking.functions import TIMEOUT, Functions, native, plus

import udfvm

_numbers = itertools.count(1)  # each makes another function


def new_functions(functions: Functions) -> None:
    """Their images are built, written to the cache and opened."""
    shift = next(_numbers)

    @udfvm.udf(pool=functions.pool, timeout=TIMEOUT)
    def shifted(x: int) -> int:
        return x + shift

    @udfvm.udf(vectorized=True, pool=functions.pool, timeout=TIMEOUT)
    def shifted_array(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x + shift

    equal(shifted(1), 1 + shift)
    equal(shifted_array(np.zeros(3)).tolist(), [shift] * 3)
    equal(native("native_sum", shift, functions.pool)(1.0, 2.0), 3.0 + shift)


def new_pools(functions: Functions) -> None:
    with udfvm.Pool(size=2) as pool:
        own = plus.with_options(pool=pool, timeout=TIMEOUT)
        equal(own(1.0, 2.0), 3.0)
        pool.warm(own, vms=2).result()
    del functions  # of another pool


def many_threads(functions: Functions) -> None:
    """More of them than the pool has VMs."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(functions.plus, range(40), range(40)))
    equal(found, [2.0 * number for number in range(40)])


def threads_that_end(functions: Functions) -> None:
    """Each leaves what the core keeps for a thread."""
    for _ in range(4):
        thread = threading.Thread(target=lambda: functions.plus(1.0, 2.0))
        thread.start()
        thread.join()


WORK: tuple[Any, ...] = (new_functions, new_pools, many_threads, threads_that_end)
