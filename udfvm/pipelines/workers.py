"""Threads that do a pipeline's work, each on VMs of its own, in order and with back-pressure.

The consumer's thread reads the source and takes the results. While it waits it looks around a few
times a second, so that Ctrl-C is noticed whichever thread the kernel gave the signal to. Running
calls then end by a ``Cancellation``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, TypeVar

from udfvm.errors import ForkedError
from udfvm.vmm import Cancellation

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

LOOK: Final = 0.1  # seconds between two looks
_IN_FLIGHT: Final = 4  # batches for each thread: they last while a row group is written


def processors() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(
    works: Iterable[_Work],
    do: Callable[[_Work], _Result],
    threads: int,
    look: Callable[[], object] = lambda: None,
) -> Generator[_Result]:
    """Yields ``do(work)`` for each work, in order, done by so many threads.

    At most ``4 * threads`` works are begun and not yet taken. When the iterator is closed, or
    raises, running calls are cancelled and all threads have ended.

    Args:
        works: what is to be done; iterated on the consumer's thread.
        do: called by the threads. Its first exception, in the order of the works, is raised.
        threads: how many.
        look: called on the consumer's thread while it waits.
    """
    cancellation, process = Cancellation(), os.getpid()

    def worker(work: _Work) -> _Result:
        with cancellation.applies():
            if cancellation:
                raise KeyboardInterrupt
            return do(work)

    executor = ThreadPoolExecutor(threads, "udfvm-map")
    waiting: deque[Future[_Result]] = deque()
    iterator = iter(works)
    try:
        while True:
            if os.getpid() != process:
                raise ForkedError("a pipeline of the parent process cannot go on in a forked child")
            while len(waiting) < threads * _IN_FLIGHT:
                try:
                    work = next(iterator)
                except StopIteration:
                    break
                waiting.append(executor.submit(worker, work))
                if waiting[0].done():
                    break
            if not waiting:
                return
            yield _awaited(waiting[0], look)
            waiting.popleft()
    finally:
        cancellation.cancel()
        executor.shutdown(wait=os.getpid() == process, cancel_futures=True)


def _awaited(future: Future[_Result], look: Callable[[], object]) -> _Result:
    while True:
        try:
            return future.result(LOOK)
        except FutureTimeoutError:
            if future.done():  # the exception is that of the work, or it ended just now
                return future.result()
            look()
