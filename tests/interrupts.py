"""Interrupts for a statement of which nobody knows when it begins."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import apsw
from busy_processes import BUSY_SECONDS


@contextlib.contextmanager
def interrupting(connection: apsw.Connection) -> Iterator[None]:
    """Interrupts whenever this process has used the processor for a while: an interrupt before the
    statement has no effect.
    """
    ended = threading.Event()

    def interrupt() -> None:
        used = time.process_time()
        while not ended.wait(0.01):
            if time.process_time() - used > BUSY_SECONDS:
                connection.interrupt()
                used = time.process_time()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
