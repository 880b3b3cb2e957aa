"""Ctrl-C while the main thread waits for a scan whose expressions call UDFs, or for an engine.

Python runs handlers of signals on the main thread, when Python code runs there next: not while that
waits within Arrow, which runs the scan on other threads. Arrow cannot be told to stop either, but
the scan ends where a call fails. So the signal is taken, where the program leaves it to Python, and
calls raise KeyboardInterrupt in its place. Where that is not raised on the main thread, the signal
is passed on: it is late then, but not lost.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import Final

from udfvm.functions import _arrow_functions, engine_calls
from udfvm.functions.engine_calls import CALLS_END, ENGINE_ENDS, LOOK

_LEASE: Final = 1.0  # seconds after a call for which the signal is taken
_SHORT: Final = 0.2  # seconds that a scan has to make a call that raises the exception


def take() -> bool:
    """Takes SIGINT while calls are made for scans of the main thread. Returns False if the program
    has a handler of its own.
    """
    if (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        or threading.main_thread().native_id != os.getpid()
    ):
        return False
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    taken = False
    try:
        taken = _arrow_functions.take_interrupts(event)
        if taken:
            threading.Thread(target=_watch, args=(event,), name="udfvm-scan", daemon=True).start()
    except BaseException:
        _arrow_functions.give_interrupts_back()
        taken = False
        raise
    finally:
        if not taken:
            os.close(event)
    return taken


def _watch(event: int) -> None:
    poll = select.poll()
    poll.register(event, select.POLLIN)
    try:
        while True:
            if poll.poll(_LEASE * 1000):
                os.eventfd_read(event)
                _interrupt()
            elif _arrow_functions.seconds_since_call() > _LEASE and not engine_calls.calls_run():
                break
    finally:
        _arrow_functions.give_interrupts_back()
        came_late = bool(poll.poll(0))
        os.close(event)
    if came_late:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    if _arrow_functions.seconds_since_call() <= _LEASE:  # a call that took it for taken
        _arrow_functions.call_for_main()


def _interrupt() -> None:
    """Ends what the main thread waits for, or passes the signal on."""
    if engine_calls.interrupt(_arrow_functions.pass_interrupt_on):
        return
    interruption = KeyboardInterrupt()
    begun = time.monotonic()
    is_raised = False
    if _arrow_functions.interrupt_scans(interruption):
        while not is_raised and _may_be_raised(begun):
            time.sleep(LOOK)
            is_raised = interruption.__traceback__ is not None
    _arrow_functions.end_interrupt()
    if not is_raised:
        _arrow_functions.pass_interrupt_on()


def _may_be_raised(begun: float) -> bool:
    """Whether a scan that was to end at ``begun`` may still raise the exception."""
    passed = time.monotonic() - begun
    idle = min(passed, _arrow_functions.seconds_since_call())
    longest_idle = ENGINE_ENDS if _arrow_functions.is_interrupting() else _SHORT
    return passed < CALLS_END and idle < longest_idle
