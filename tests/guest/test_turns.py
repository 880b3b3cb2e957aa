"""Threads of Python that compute while others wait: each has its turn, however the call is made;
and so have alarms.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.functions.scalar import ScalarFunction
from udfvm.protocol import TIMER

KINDS = (
    "a sleeper",
    "a worker",
    "a lock",
    "sleep(0)",
    "a future",
    "an exception",
    "interrupt_main",
    "many",
    "nonsense",
)


class StoppedError(Exception):
    """What a watchdog raises in another thread."""


def later(done: list[int], lock: threading.Lock) -> None:
    time.sleep(0.02)
    with lock:
        done.append(1)


def work(done: list[int], lock: threading.Lock) -> None:
    done.append(sum(range(100_000)))


def spin(done: list[int], lock: threading.Lock) -> None:
    turns = 0
    while not done:
        turns += 1


def spin_with_lock(done: list[int], lock: threading.Lock) -> None:
    while True:
        with lock:
            if done:
                return


def spin_with_sleep(done: list[int], lock: threading.Lock) -> None:
    while not done:
        time.sleep(0)


def waits_for_a_future(done: list[int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(spin, done, threading.Lock())
        try:
            future.result(timeout=0.02)
        except TimeoutError:
            done.append(1)
        future.result()


def sleeps_among_many(done: list[int]) -> None:
    sys.setswitchinterval(1e-9)
    others = [threading.Thread(target=spin, args=(done, threading.Lock())) for _ in range(4)]
    for other in others:
        other.start()
    time.sleep(0.02)
    done.append(1)
    for other in others:
        other.join()


def asks_for_nonsense(done: list[int], lock: threading.Lock) -> None:
    """Writes what only the guest kernel may, beside a thread that computes."""
    word = ctypes.c_uint64.from_address(TIMER)
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        for value in (0, 1, 2**64 - 1, time.monotonic_ns()):
            word.value = value
    done.append(1)


def is_stopped(stop: Callable[[], object]) -> str:
    """The name of the exception that another thread raises in this one, which computes."""
    try:
        threading.Timer(0.02, stop).start()
        spin([], threading.Lock())
    except (StoppedError, KeyboardInterrupt) as error:
        return type(error).__name__
    return "nothing"


def raise_in(thread: int) -> None:
    error = ctypes.py_object(StoppedError)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


@udfvm.udf(timeout=60)
def turns(kind: str) -> str:
    """Ends if another thread has its turn, while one computes."""
    done: list[int] = []
    pairs = {
        "a sleeper": (later, spin),
        "a worker": (work, spin),
        "a lock": (later, spin_with_lock),
        "sleep(0)": (later, spin_with_sleep),
        "nonsense": (spin, asks_for_nonsense),
    }
    if kind in pairs:
        lock = threading.Lock()
        other, own = pairs[kind]
        threading.Thread(target=other, args=(done, lock)).start()
        own(done, lock)
    elif kind == "a future":
        waits_for_a_future(done)
    elif kind == "many":
        sleeps_among_many(done)
    elif kind == "an exception":
        thread = threading.get_ident()
        return is_stopped(lambda: raise_in(thread))
    else:
        return is_stopped(_thread.interrupt_main)
    return kind


EXPECTED = [
    {"an exception": "StoppedError", "interrupt_main": "KeyboardInterrupt"}.get(kind, kind)
    for kind in KINDS
]
QUERY = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 17) SELECT {} n"


def test_each_has_its_turn() -> None:
    assert [turns(kind) for kind in KINDS] == EXPECTED


def rows(function: ScalarFunction, isolation: Literal["statement", "row"]) -> list[str]:
    """The kinds, twice: the first ones by exits, the others streamed."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function, isolation=isolation)
    kinds = " ".join(f"WHEN {number} THEN '{kind}'" for number, kind in enumerate(KINDS))
    call = f"{function.name}(CASE i % {len(KINDS)} {kinds} END)"
    return [value for (value,) in connection.execute(QUERY.format(call + " FROM"))]


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_in_the_rows_of_a_statement(isolation: Literal["statement", "row"]) -> None:
    assert rows(turns, isolation) == EXPECTED * 2


def test_in_jails() -> None:
    with udfvm.Pool(size=1, jail=True) as pool:
        jailed = turns.with_options(name="jailed", pool=pool)
        assert [jailed(kind) for kind in KINDS] == EXPECTED
        assert rows(jailed, "statement") == EXPECTED * 2


def test_in_hardened_calls() -> None:
    program = "from test_turns import *\nassert [turns(kind) for kind in KINDS] == EXPECTED"
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "UDFVM_HARDEN": "1", "PYTHONPATH": str(Path(__file__).parent)},
        check=True,
        timeout=300,
    )


@udfvm.udf(timeout=60)
def stopped(how: str) -> str:
    """A handler of ``SIGALRM`` stops what computes or sleeps; without one, it ends the program."""

    def handle(number: int, frame: object) -> None:
        raise StoppedError(number)

    if how != "no handler":
        signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 10)
        if how == "sleeps":
            time.sleep(1000)
        spin([], threading.Lock())
    except StoppedError as error:
        return str(error)
    return "nothing"


def test_alarms() -> None:
    assert [stopped(how) for how in ("computes", "sleeps")] == ["14", "14"]
    with pytest.raises(udfvm.GuestCrashError, match=r"signal 14 \(ALRM\) .* set a timer"):
        stopped("no handler")
    assert stopped("computes") == "14"  # not the alarm of the call before
    assert stopped.with_options(name="fixed", deterministic=True)("sleeps") == "14"
