"""Waits for a call that runs: a guest that loops uses the processor, so no time must be guessed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

BUSY_SECONDS = 0.1  # of processor time: more than what begins a call, whose image exists, takes
END = 120.0


def processor_seconds(process: int) -> float:
    """The processor time that a process has used, in the guest and outside of it."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_busy(process: int) -> None:
    """Returns once a process has used the processor for a while from now on."""
    begin, end = processor_seconds(process), time.monotonic() + END
    while processor_seconds(process) - begin < BUSY_SECONDS and time.monotonic() < end:
        time.sleep(0.01)


def when_busy(action: Callable[[], object]) -> threading.Thread:
    """Calls ``action`` in a thread, once this process has used the processor for a while."""

    def run() -> None:
        await_busy(os.getpid())
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
