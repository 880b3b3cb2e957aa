"""Interrupts for a statement of which nobody knows when it begins."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator

import apsw
from busy_processes import BUSY_SECONDS, processor_seconds


@contextlib.contextmanager
def interrupting(connection: apsw.Connection | sqlite3.Connection) -> Iterator[None]:
    """Interrupts whenever this process has used the processor for a while: an interrupt before the
    statement has no effect.
    """
    ended = threading.Event()

    def interrupt() -> None:
        used = processor_seconds(os.getpid())
        while not ended.wait(0.01):
            if processor_seconds(os.getpid()) - used > BUSY_SECONDS:
                connection.interrupt()
                used = processor_seconds(os.getpid())

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
