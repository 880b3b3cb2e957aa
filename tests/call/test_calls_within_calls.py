"""Calls that a program's own code makes in the midst of a call: ``log=``, host functions, signal
handlers. On a pool whose micro-VMs are all in use by such calls there is nothing to wait for.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import numpy as np
import pytest
from busy_processes import handling_when_busy, when_asleep

import udfvm
import udfvm.sqlite

FOR_EVER = "the only VM of the pool is in use by the calls that this one is part of"
Declare = Callable[..., udfvm.ScalarFunction]


def printing(x: int) -> int:
    print("out", x)
    if x == -1:
        raise ValueError("minus one")
    while x == -2:
        pass
    return x


@pytest.fixture
def pool() -> Iterator[udfvm.Pool]:
    """One whose waits a test would not outlive."""
    with udfvm.Pool(size=1, wait=10_000) as made:
        yield made


def inner(pool: udfvm.Pool, **options: Any) -> udfvm.ScalarFunction:
    made = udfvm.udf(pool=pool, timeout=None, **options)(doubles)
    made.prepare()
    return made


def doubles(x: int) -> int:
    return 2 * x


class _Handler(logging.Handler):
    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self.call = call

    def emit(self, record: logging.LogRecord) -> None:
        self.call()


def logs(kind: str, call: Callable[[], object]) -> Any:
    if kind == "callable":
        return lambda text, stream: call()
    logger = logging.Logger("within", logging.INFO)
    logger.addHandler(_Handler(call))
    return logger


@pytest.mark.parametrize("kind", ["callable", "logger"])
def test_log_that_calls_a_function_of_the_same_pool(pool: udfvm.Pool, kind: str) -> None:
    double = inner(pool)
    function = udfvm.udf(pool=pool, log=logs(kind, lambda: double(1)))(printing)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    calls: list[Callable[[], object]] = [
        lambda: function(1),
        lambda: function(np.arange(3)),
        lambda: function(np.arange(100_000)),
    ]
    for call in calls:
        with pytest.raises(
            udfvm.HostFunctionError,
            match=f"printed could not be passed on: BusyError: UDF 'doubles': {FOR_EVER}",
        ) as caught:
            call()
        assert isinstance(caught.value.__cause__, udfvm.BusyError)
        assert caught.value.output.startswith("out ")
    with pytest.raises(
        apsw.SQLError, match=f"printed could not be passed on: BusyError: UDF 'doubles': {FOR_EVER}"
    ):
        connection.execute("SELECT printing(1)").fetchall()
    connection.close()
    assert double(2) == 4
    assert pool.statistics() == (1, 1, 1)


@pytest.mark.parametrize("x", [-1, -2])
def test_a_call_that_fails_says_so_first(pool: udfvm.Pool, x: int) -> None:
    double = inner(pool)
    function = udfvm.udf(pool=pool, timeout=0.3, log=lambda text, stream: double(1))(printing)
    with pytest.raises(
        (udfvm.CallTimeoutError, udfvm.HostFunctionError),
        match=f"could not be passed on: BusyError: UDF 'doubles': {FOR_EVER}",
    ) as caught:
        function(x)
    assert isinstance(caught.value, udfvm.CallTimeoutError) or x == -1
    assert isinstance(caught.value.__cause__, udfvm.BusyError)
    assert caught.value.output == f"out {x}\n"


def test_a_larger_pool_serves_them() -> None:
    with udfvm.Pool(size=3) as pool:
        heard: list[object] = []

        @udfvm.udf(pool=pool, log=lambda text, stream: heard.append(text))
        def innermost(x: int) -> int:
            print("innermost")
            return 2 * x

        second = udfvm.udf(pool=pool, log=lambda text, stream: heard.append(innermost(1)))(printing)
        first = udfvm.udf(
            pool=pool, log=lambda text, stream: heard.append(second(7)), name="first"
        )(printing)
        assert first(5) == 5
        assert heard == ["innermost\n", 2, 7]
        with pytest.raises(udfvm.UDFError) as caught:
            first(-1)
        assert caught.value.output == "out -1\n"  # its own, not that of the calls that log= made


def test_what_calls_itself_ends(pool: udfvm.Pool) -> None:
    large = udfvm.Pool(size=4, wait=10_000)
    functions: list[udfvm.ScalarFunction] = []
    functions.append(udfvm.udf(pool=large, log=lambda text, stream: functions[0](1))(printing))
    with pytest.raises(
        udfvm.HostFunctionError, match=r"could not be passed on: HostFunctionError"
    ) as caught:
        functions[0](1)
    cause: BaseException | None = caught.value
    depth = 0
    while isinstance(cause, udfvm.HostFunctionError):
        cause, depth = cause.__cause__, depth + 1
    assert isinstance(cause, udfvm.BusyError) and depth == 4
    large.close()


def test_host_functions(pool: udfvm.Pool) -> None:
    double = inner(pool)

    def asks(x: int) -> int:
        return double(x)

    @udfvm.udf(pool=pool, timeout=None, host_functions=[asks])
    def outer(x: int) -> int:
        return asks(x)

    for _ in range(2):
        with pytest.raises(udfvm.HostFunctionError, match=FOR_EVER) as caught:
            outer(1)
        assert isinstance(caught.value.__cause__, udfvm.BusyError)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, outer, double)

    def sql(x: int) -> int:
        return int(connection_of_its_own().execute("SELECT doubles(?)", (x,)).fetchone()[0])

    def connection_of_its_own() -> apsw.Connection:
        made = apsw.Connection(":memory:")
        udfvm.sqlite.register(made, double)
        return made

    @udfvm.udf(pool=pool, timeout=None, host_functions=[sql])
    def through_sql(x: int) -> int:
        return sql(x)

    with pytest.raises(udfvm.HostFunctionError, match="VM of the pool"):
        through_sql(1)


def test_signal_handlers(pool: udfvm.Pool) -> None:
    double = inner(pool)

    @udfvm.udf(pool=pool, timeout=60)
    def spins(x: int) -> int:
        while x:
            pass
        return x

    spins(0)
    with (
        handling_when_busy(lambda: double(1)),
        pytest.raises(udfvm.BusyError, match=FOR_EVER),
    ):
        spins(1)
    assert double(3) == 6


def test_another_thread_s_micro_vm_is_waited_for(pool: udfvm.Pool) -> None:
    @udfvm.udf(pool=pool, timeout=60)
    def lasts(seconds: float) -> int:
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return 1

    lasts(0)
    thread = threading.Thread(target=lasts, args=(0.5,))
    thread.start()
    while pool.statistics().idle:
        time.sleep(0.001)
    assert lasts(0) == 1
    thread.join()


# ---- Forks ----


def test_a_signal_handler_that_forks_while_a_micro_vm_is_waited_for(pool: udfvm.Pool) -> None:
    children: list[int] = []
    own = os.getpid()
    outcome: object = None
    double = inner(pool)
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with pool._for_base(double.image.base).vm(double.image):
            held.set()
            forked.wait()

    def handler(*_: object) -> None:
        children.append(os.fork())
        forked.set()

    before = signal.signal(signal.SIGUSR1, handler)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    sender = when_asleep(lambda: os.kill(own, signal.SIGUSR1))
    try:
        outcome = double(1)
    except udfvm.Error as error:
        outcome = error
    if os.getpid() != own:
        os._exit(0 if isinstance(outcome, udfvm.ForkedError) and double(4) == 8 else 1)
    sender.join()
    holder.join()
    signal.signal(signal.SIGUSR1, before)
    assert outcome == 2
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert double(2) == 4


@pytest.mark.parametrize("failing", [False, True])
def test_log_that_forks(failing: bool) -> None:
    """The child's call fails with the typed error, wherever what is printed arrives."""
    children: list[int] = []
    own = os.getpid()

    def forks(text: str, stream: str) -> None:
        children.append(os.fork())

    function = udfvm.udf(log=forks)(printing)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    x = -1 if failing else 1

    def row() -> object:
        return connection.execute(
            "SELECT printing(?) UNION ALL SELECT printing(?)", (x, x)
        ).fetchall()

    few, many = np.array([x, 2]), np.full(100_000, x)
    calls: list[Callable[[], object]] = [
        lambda: function(x),
        lambda: function(few),
        lambda: function(many),
        row,
    ]
    for call in calls:
        outcome: object = None
        try:
            outcome = call()
        except (udfvm.Error, apsw.Error) as error:
            outcome = error
        if os.getpid() != own:
            right = "forked in the middle" in str(outcome) and (
                isinstance(outcome, udfvm.ForkedError | apsw.SQLError)
            )
            os._exit(0 if right else 1)
        assert (
            isinstance(outcome, udfvm.UDFError | apsw.SQLError)
            if failing
            else not isinstance(outcome, Exception)
        )
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert children
        children.clear()
