"""Ctrl-C at the driver of Spark cancels its jobs.

Spark's handler of the signal asks for that over the main thread's connection to Java. Where the
main thread waits for a query, its connection is in use: the request fails, and the jobs go on. So
it is made on another thread, which has a connection of its own.
"""

from __future__ import annotations

import functools
import threading
from typing import Any


def cancel_on_another_thread(contexts: Any) -> None:
    """Makes ``cancelAllJobs`` of a class of contexts work while the caller's thread waits for a
    query.
    """
    cancel = contexts.cancelAllJobs
    if getattr(cancel, "is_on_another_thread", False):
        return

    @functools.wraps(cancel)
    def on_another_thread(self: Any) -> None:
        failures: list[Exception] = []

        def run() -> None:
            try:
                cancel(self)
            except Exception as error:  # noqa: BLE001 - the caller raises it
                failures.append(error)

        thread = threading.Thread(target=run, name="udfvm-spark-cancel")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    vars(on_another_thread)["is_on_another_thread"] = True
    contexts.cancelAllJobs = on_another_thread
