"""The program's own exceptions (Ctrl-C, what a signal handler raises, SystemExit) pass through
calls as what they are, and once they were handled nothing of them stays alive.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType

import apsw
import numpy as np
import pytest
from busy_processes import handling_when_busy, when_busy

import udfvm
import udfvm.sqlite
from udfvm.images import host


class Alarm(Exception):
    """What a signal handler raises."""


class Stop(BaseException):
    """The same, of no error."""


class Witness:
    """Is alive as long as the frame that it lies in."""


witnesses: list[weakref.ref[Witness]] = []


def raise_here(kind: type[BaseException]) -> None:
    witness = Witness()
    witnesses.append(weakref.ref(witness))
    raise kind("the program's own")


@udfvm.udf(timeout=60.0)
def endless(x: int) -> int:
    while x:
        pass
    return 1


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64", timeout=60.0)
def endless_batch(x):  # type: ignore[no-untyped-def]
    while len(x) and x[-1].as_py():
        pass
    return x


@udfvm.udf(timeout=60.0)
def reads_files(x: int) -> int:
    import os

    while x:
        with open(os.__file__):
            os.stat(os.__file__)
    return x


def connected(*functions: udfvm.ScalarFunction) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions)
    return connection


def fetch(sql: str, *functions: udfvm.ScalarFunction) -> Callable[[], object]:
    connection = connected(*functions)
    return lambda: connection.execute(sql).fetchall()


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "
WAYS: dict[str, Callable[[], Callable[[], object]]] = {
    "row": lambda: lambda: endless(1),
    "small batch": lambda: lambda: endless_batch(np.array([1])),
    "batch": lambda: lambda: endless_batch(np.arange(1 << 20)),
    "files": lambda: lambda: reads_files(1),
    "sql": lambda: fetch("SELECT endless(1)", endless),
    "streaming": lambda: fetch(NUMBERS + "SELECT endless(i = 20) FROM n", endless),
    "vm_map": lambda: fetch("SELECT * FROM vm_map('endless', 'SELECT 1, 1')", endless),
    "sql files": lambda: fetch("SELECT reads_files(1)", reads_files),
}


@pytest.fixture
def handlers() -> Iterator[None]:
    """SIGINT as in a program that was started in the foreground.

    All is built before: a signal is to come in the call, not in code that swallows what handlers
    raise, as finalizers do.
    """
    for function in (endless, endless_batch, reads_files):
        function.prepare()
    gc.collect()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    del witnesses[:]


def nothing_stays() -> bool:
    gc.collect()
    return all(witness() is None for witness in witnesses)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("kind", [Alarm, Stop, SystemExit])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_signal_handler_raises_passes(way: str, kind: type[BaseException]) -> None:
    call = WAYS[way]()
    for _ in range(3 if "files" in way else 1):
        with (
            handling_when_busy(lambda: raise_here(kind)),
            pytest.raises(kind, match="the program's own"),
        ):
            call()
    assert witnesses and nothing_stays()
    assert endless(0) == 1


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("way", WAYS)
def test_control_c_passes(way: str) -> None:
    call = WAYS[way]()
    when_busy(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        call()
    assert endless(0) == 1


def asked(x: int) -> int:
    return x


@udfvm.udf(host_functions=[asked])
def asks_host(x: int) -> int:
    return asked(x)


@udfvm.udf
def prints(x: int) -> int:
    print(x)
    return x


@udfvm.udf
def fails(x: int) -> int:
    raise ValueError(x)


CALLBACKS: dict[str, Callable[[], Callable[[], object]]] = {
    "udfvm_python_host_call": lambda: lambda: asks_host(1),
    "udfvm_python_log": lambda: lambda: prints(1),
    "_answer_renewal": lambda: fetch("SELECT prints(1)", prints),
    "failed": lambda: fetch("SELECT fails(1)", fails),
}


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("kind", [Alarm, Stop, KeyboardInterrupt])
@pytest.mark.parametrize("callback", CALLBACKS)
def test_what_is_raised_ahead_of_a_callbacks_first_statement_passes(
    callback: str, kind: type[BaseException]
) -> None:
    """A signal's handler may run there; here a profiler does, at the same place."""
    call = CALLBACKS[callback]()
    asks_host.prepare()

    def raise_as_it_begins(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == callback:
            raise_here(kind)

    sys.setprofile(raise_as_it_begins)
    try:
        with pytest.raises((kind, udfvm.HostFunctionError, apsw.SQLError)) as raised:
            call()
    finally:
        sys.setprofile(None)
    # An error of a handler in a host function is one of the host function.
    found = raised.value.__cause__ if issubclass(kind, Exception) else raised.value
    assert kind in (type(found), type(raised.value))
    del raised, found
    assert witnesses and nothing_stays()
    assert endless(0) == 1


@pytest.mark.usefixtures("handlers")
def test_files_are_closed_before_the_program_gets_the_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite ends the statement first: what runs then does not see that an exception is pending."""
    opened: list[int] = []
    closed: list[int] = []
    open_, close = host._HostFiles.open, host._HostFiles.close

    @udfvm.udf
    def reads_two(x: int) -> int:
        import os
        import textwrap

        with open(os.__file__), open(textwrap.__file__):
            return x

    def opening(files: host._HostFiles, path: bytes) -> tuple[int, os.stat_result]:
        if opened:
            raise_here(Alarm)  # as a handler would, which runs there
        handle, found = open_(files, path)
        opened.append(handle)
        return handle, found

    def closing(files: host._HostFiles, handle: int) -> None:
        closed.append(handle)
        close(files, handle)

    reads_two.prepare()
    call = fetch("SELECT reads_two(1)", reads_two)
    monkeypatch.setattr(host._HostFiles, "open", opening)
    monkeypatch.setattr(host._HostFiles, "close", closing)
    with pytest.raises(Alarm, match="the program's own"):
        call()
    assert closed == opened and nothing_stays()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Stop])
@pytest.mark.parametrize("deadline", [False, True], ids=["in time", "past the deadline"])
def test_what_ends_a_program_passes_host_functions(
    kind: type[BaseException], deadline: bool
) -> None:
    def ends(x: int) -> int:
        while deadline and x:
            try:
                return int(endless(1))  # which ends with the call that this serves
            except udfvm.CallTimeoutError:
                break
        raise_here(kind)
        return 0

    @udfvm.udf(host_functions=[ends], timeout=0.25 if deadline else 60.0)
    def asks(x: int) -> int:
        return ends(x)

    asks.prepare()
    endless.prepare()
    connection = connected(asks)
    queries = ("SELECT asks(1)", "SELECT * FROM vm_map('asks', 'SELECT 1, 1')")
    for call in (
        lambda: asks(1),
        *(lambda sql=sql: connection.execute(sql).fetchall() for sql in queries),
    ):
        with pytest.raises(kind):
            call()
    assert len(witnesses) >= 3 and nothing_stays()
    del witnesses[:]


def test_errors_of_host_functions_stay_no_longer_than_the_error() -> None:
    def fails(x: int) -> int:
        raise_here(Alarm)
        return 0

    @udfvm.udf(host_functions=[fails])
    def asks(x: int) -> int:
        return fails(x)

    connection = connected(asks)
    with pytest.raises(udfvm.HostFunctionError) as caught:
        asks(1)
    assert isinstance(caught.value.__cause__, Alarm) and not nothing_stays()
    with pytest.raises(apsw.SQLError):
        connection.execute("SELECT asks(1)").fetchall()
    del caught
    assert nothing_stays()
    del witnesses[:]
