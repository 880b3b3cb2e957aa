"""Waits for a call that runs, so that no time must be guessed: a guest that loops uses the
processor, and a thread that waits for a VM sleeps.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jails import jails

BUSY_SECONDS = 0.1  # of processor time: more than what begins a call, whose image exists, takes
ASLEEP_SECONDS, LOOK_SECONDS = 0.1, 0.001
END = 120.0


def processor_seconds(process: int) -> float:
    """The processor time that a process has used, in the guest and outside of it, and so the
    processes of its jailed VMs.
    """
    ticks = 0
    for each in (process, *jails(process)):
        with contextlib.suppress(OSError):  # it has ended
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def await_busy(process: int, seconds: float = BUSY_SECONDS) -> None:
    """Returns once a process has used the processor for a while from now on."""
    begin, end = processor_seconds(process), time.monotonic() + END
    while processor_seconds(process) - begin < seconds and time.monotonic() < end:
        time.sleep(0.01)


def when_busy(action: Callable[[], object], seconds: float = BUSY_SECONDS) -> threading.Thread:
    """Calls ``action`` in a thread, once this process has used the processor for a while."""

    def run() -> None:
        await_busy(os.getpid(), seconds)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@contextlib.contextmanager
def handling_when_busy(handler: Callable[[], object]) -> Iterator[None]:
    """Calls ``handler`` as a handler of a signal, which comes once this process has used the
    processor for a while, and once only.
    """
    before = signal.signal(signal.SIGPROF, lambda *_: handler())
    thread = None
    if os.environ.get("UDFVM_JAIL") == "1":  # the timer sees the time of this process alone
        thread = when_busy(lambda: os.kill(os.getpid(), signal.SIGPROF))
    else:
        signal.setitimer(signal.ITIMER_PROF, BUSY_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if thread is not None:
            thread.join()
        signal.signal(signal.SIGPROF, before)


def seconds_if_asleep(thread: int) -> float | None:
    """The processor time that a thread of this process has used; None if it is awake."""
    folder = Path(f"/proc/self/task/{thread}")
    if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "S":
        return None
    return int((folder / "schedstat").read_text().split()[0]) / 1e9


def when_asleep(action: Callable[[], object]) -> threading.Thread:
    """Calls ``action`` in a thread, once the calling thread has slept for a while, but for short
    looks around.
    """
    sleeper, end = threading.get_native_id(), time.monotonic() + END

    def run() -> None:
        before = None
        while time.monotonic() < end:
            now = seconds_if_asleep(sleeper)
            if now is not None and before is not None and now - before < LOOK_SECONDS:
                break
            before = now
            time.sleep(ASLEEP_SECONDS)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
