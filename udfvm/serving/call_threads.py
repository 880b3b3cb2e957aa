"""Threads that make the calls of a server."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

_NAME: Final = "udfvm-flight-call"
_Result = TypeVar("_Result")


class CallThreads:
    """Threads that begin as there are calls, and make one at a time.

    The interpreter does not wait for them, as it does for those of ``ThreadPoolExecutor``: a
    program that ends without stopping its server ends, whatever calls still run.
    """

    def __init__(self, most: int) -> None:
        """Args:
        most: how many threads there are at most.
        """
        self._most = most
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)  # threads that wait for a call
        self._threads: list[threading.Thread] = []

    def begin(self, call: Callable[[], _Result]) -> Future[_Result]:
        """Gives a call to the next thread that is free. Only one thread may do so.

        Raises:
            RuntimeError: another thread is needed, and the system has none.
        """
        future: Future[_Result] = Future()
        if not self._free.acquire(blocking=False) and len(self._threads) < self._most:
            name = f"{_NAME}_{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._calls.put(lambda: _make(call, future))
        return future

    def close(self) -> None:
        """Waits for the calls, and ends the threads."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # a thread that waits keeps no batch
            self._free.release()


def _make(call: Callable[[], _Result], future: Future[_Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised by who waits for the result
        future.set_exception(error)
    else:
        future.set_result(result)
