"""Interrupts for a statement of which nobody knows when it begins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import apsw


@contextlib.contextmanager
def interrupting(connection: apsw.Connection) -> Iterator[None]:
    """Interrupts again and again: an interrupt before the statement has no effect."""
    ended = threading.Event()

    def interrupt() -> None:
        while not ended.wait(0.5):
            connection.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
