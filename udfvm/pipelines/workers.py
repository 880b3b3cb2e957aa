"""Threads that do a pipeline's work, each on VMs of its own, in order and with back-pressure.

The consumer's thread takes the results. While it waits it looks around a few times a second, so
that Ctrl-C is noticed whichever thread the kernel gave the signal to. Running calls then end by a
``Cancellation``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final, Generic, TypeVar

from udfvm.errors import ForkedError
from udfvm.pipelines.ahead import Passage, join
from udfvm.vmm import Cancellation, cancellation_of_thread

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

_IN_FLIGHT: Final = 4  # batches for each thread: they last while a row group is written
_RESULTS: Final = 2  # of a work, or the end, that wait for the consumer
_PATIENCE: Final = 0.25  # seconds that Ctrl-C waits for host functions, which nothing ends


def processors() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(
    works: Iterable[_Work],
    do: Callable[[_Work], Generator[_Result]],
    threads: int,
    look: Callable[[], object] = lambda: None,
) -> Generator[_Result]:
    """Yields what ``do(work)`` yields for each work, in order, done by so many threads.

    At most ``4 * threads`` works are begun and not yet taken, and a thread waits where two results
    of its work are not yet taken. When the iterator is closed, or raises, running calls are
    cancelled and all threads have ended. What cancels the calls of the consumer's thread ends its
    wait by KeyboardInterrupt. After that, as after Ctrl-C, a thread within a host function may
    still be there: it ends when that returns.

    Args:
        works: what is to be done; iterated on the consumer's thread.
        do: called by the threads. Its first exception, in the order of the works, is raised.
        threads: how many.
        look: called on the consumer's thread while it waits.
    """
    process, team = os.getpid(), _Team(do, threads)

    def look_around() -> None:
        if cancellation_of_thread():
            raise KeyboardInterrupt
        look()

    waiting: deque[Passage[_Result]] = deque()
    results: Generator[_Result] | None = None  # of the first that waits
    iterator = iter(works)
    patience: float | None = None
    try:
        while True:
            if os.getpid() != process:
                raise ForkedError("a pipeline of the parent process cannot go on in a forked child")
            while len(waiting) < threads * _IN_FLIGHT:
                try:
                    work = next(iterator)
                except StopIteration:
                    break
                waiting.append(team.begin(work))
                if waiting[0].has_items:
                    break
            if not waiting:
                return
            results = results or waiting[0].taken(look_around)
            try:
                yield next(results)
            except StopIteration:
                results = None
                waiting.popleft()
    except KeyboardInterrupt:
        patience = _PATIENCE
        raise
    finally:
        team.end(patience)


@contextlib.contextmanager
def beside(do: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
    """Does something on a thread of its own, within the context. Yields what waits for its result,
    and raises its exception.

    At the end of the context, and where that raises, running calls of the thread are cancelled and
    the thread has ended, as with ``in_order``. What cancels the calls of the consumer's thread ends
    its wait by KeyboardInterrupt.
    """
    outer = cancellation_of_thread()

    def look() -> None:
        if outer:
            raise KeyboardInterrupt

    def results(_: None) -> Generator[_Result]:
        yield do()

    team = _Team(results, 1)
    patience: float | None = None
    try:
        yield functools.partial(next, team.begin(None).taken(look))
    except KeyboardInterrupt:
        patience = _PATIENCE
        raise
    finally:
        team.end(patience)


class _Team(Generic[_Work, _Result]):
    """Threads, which begin as there is work. The end of the interpreter ends them."""

    def __init__(self, do: Callable[[_Work], Generator[_Result]], size: int) -> None:
        self._do = do
        self._size = size
        self._works: queue.SimpleQueue[tuple[Passage[_Result], _Work] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._cancellation = Cancellation()
        self._ended = threading.Event()
        atexit.register(self.end, _PATIENCE)

    def begin(self, work: _Work) -> Passage[_Result]:
        """Gives a work to the next thread that is free."""
        passage: Passage[_Result] = Passage(_RESULTS, self._ended)
        if len(self._threads) < self._size:
            thread = threading.Thread(target=self._run, name="udfvm-map", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._works.put((passage, work))
        return passage

    def end(self, patience: float | None) -> None:
        """Cancels running calls, and waits for the threads: at most so many seconds, if given."""
        self._cancellation.cancel()
        self._ended.set()
        for _ in self._threads:
            self._works.put(None)
        until = None if patience is None else time.monotonic() + patience
        for thread in self._threads:
            join(thread, until)
        atexit.unregister(self.end)

    def _run(self) -> None:
        with self._cancellation.applies():
            while (given := self._works.get()) is not None:
                if self._cancellation:
                    continue
                passage, work = given
                try:
                    with contextlib.closing(self._do(work)) as results:
                        passage.put_all(results)
                except BaseException as error:  # noqa: BLE001 - the consumer raises it
                    passage.end(error)
                    del error
                else:
                    passage.end(None)
                del given, passage, work  # the thread keeps no batch while it waits
