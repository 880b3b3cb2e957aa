"""Work of a soak that ends otherwise than well: errors, limits, crashes, interrupts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import apsw
import numpy as np
from soaking.checks import equal, fails_with
from soaking.functions import Functions
from soaking.statements import connection

import udfvm
import udfvm.sqlite

SOON = 0.05  # seconds until an interrupt


def errors(functions: Functions) -> None:
    fails_with(udfvm.UDFError, "3 is too much", lambda: functions.fails(3))
    fails_with(udfvm.UDFError, "is too much", lambda: functions.fails(np.arange(10)))
    fails_with(udfvm.UDFError, "unreachable", lambda: functions.wasm_trap(1))
    fails_with(udfvm.TypeMappingError, "x", lambda: functions.fails("text"))
    fails_with(udfvm.OutputLimitError, "limit", lambda: functions.long_text(1 << 20))
    fails_with(udfvm.HostFunctionError, "negative", lambda: functions.quarter(-1.0))
    equal(functions.fails(1), 1)


def timeouts(functions: Functions) -> None:
    fails_with(udfvm.CallTimeoutError, "within", lambda: functions.endless(3))
    fails_with(udfvm.CallTimeoutError, "within", lambda: functions.endless(np.arange(10)))


def crashes(functions: Functions) -> None:
    fails_with(udfvm.GuestCrashError, "signal 11", lambda: functions.crashes(3))
    fails_with(udfvm.GuestCrashError, "SIGSEGV", lambda: functions.native_crash(3))
    fails_with(udfvm.GuestExitError, "3", lambda: functions.leaves(3))
    equal(functions.crashes(1), 1)


def interrupts_of_sql(functions: Functions) -> None:
    with connection(functions) as opened:
        udfvm.sqlite.register(opened, functions.slow)
        over = threading.Event()

        def interrupt() -> None:
            while not over.wait(SOON):  # one that comes before the statement has no effect
                opened.interrupt()

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        try:
            statement = "SELECT slow(3)"
            fails_with(apsw.InterruptError, "", lambda: opened.execute(statement).fetchall())
        finally:
            over.set()
            interrupting.join()


WORK: tuple[Any, ...] = (errors, timeouts, crashes, interrupts_of_sql)

# ---- What the main thread alone can do ----


def _interrupted(call: Callable[[], object]) -> None:
    """Ends a call as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, SOON)
        call()
    except KeyboardInterrupt:
        return  # wherever it came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    raise RuntimeError("an endless call ended")


def interrupts(functions: Functions) -> None:
    _interrupted(lambda: functions.slow(3))
    _interrupted(lambda: functions.slow(np.arange(10)))
    with connection(functions) as opened:
        udfvm.sqlite.register(opened, functions.slow)
        _interrupted(lambda: opened.execute("SELECT slow(3)").fetchall())


def forks(functions: Functions) -> None:
    """A child of this process, whose other threads are at work, makes a call."""
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        os._exit(0 if functions.plus(1.0, 2.0) == 3.0 else 1)
    equal(os.waitpid(child, 0)[1], 0)


MAIN_WORK: tuple[Any, ...] = (interrupts, forks)
