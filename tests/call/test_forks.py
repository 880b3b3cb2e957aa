"""A child that was forked at any moment gets a typed error for what is its parent's, and goes on;
the parent does not notice.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from busy_processes import handling_when_busy

import udfvm
import udfvm.sqlite

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT "
CHILD_SECONDS = 120


class Fork:
    """The process forks where ``here`` is called; ``outcome`` goes on in both. The child, in which
    ``check`` must hold, ends.
    """

    def __init__(self) -> None:
        self.child: int | None = None
        self.parent = os.getpid()

    def here(self) -> None:
        self.child = os.fork()
        if self.child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_SECONDS)

    def outcome(self, work: Callable[[], object], check: Callable[[object], object]) -> object:
        """What ``work`` returned in the parent. ``check`` takes what the child got: a result or an
        exception.
        """
        try:
            result: object = work()
        except BaseException as error:
            if os.getpid() == self.parent:
                raise
            result = error
        if os.getpid() != self.parent:
            try:
                check(result)
                assert plain(20) == 21
            except BaseException as failure:  # noqa: BLE001 - the exit status says so
                os.write(2, f"{result!r}: {type(failure).__name__}: {failure}\n".encode())
                os._exit(1)
            os._exit(0)
        assert self.child, "the process was not forked"
        assert os.waitpid(self.child, 0)[1] == 0
        return result


@udfvm.udf
def plain(x: int) -> int:
    return x + 1


@udfvm.udf(isolation="row")
def alone(x: int) -> int:
    return x + 1


@udfvm.table_function(columns={"value": int})
def upto(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with_functions = apsw.Connection(":memory:")
    udfvm.sqlite.register(with_functions, plain, alone, upto)
    yield with_functions
    with_functions.close(True)


def is_typed(result: object) -> None:
    assert isinstance(result, apsw.SQLError), result
    assert "parent process" in str(result), result
    assert str(result).endswith("; open connections and register UDFs after the fork"), result


def is_forked_error(result: object) -> None:
    assert isinstance(result, udfvm.ForkedError), result
    assert result.during_call


STATEMENTS = {
    "rows": NUMBERS + "plain(i) FROM n",
    "row by row": NUMBERS + "alone(i) FROM n",
    "map": f"SELECT value FROM vm_map('plain', '{NUMBERS.replace('1000', '5000')} i, i FROM n')",
    "table": "SELECT value FROM upto(5000)",
}


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("rows", [0, 3, 300])
@pytest.mark.parametrize("what", ["step", "close", "close connection", "leave"])
def test_a_statement_that_runs(
    connection: apsw.Connection, statement: str, rows: int, what: str
) -> None:
    cursor = connection.execute(STATEMENTS[statement])
    taken = [next(cursor)[0] for _ in range(rows)]
    fork = Fork()

    def work() -> object:
        fork.here()
        if fork.child or what == "leave":
            return None
        if what == "step":
            return list(cursor)
        return cursor.close() if what == "close" else connection.close(True)

    def check(result: object) -> None:
        if what == "step" and rows:
            is_typed(result)
        elif what != "step":
            assert result is None

    fork.outcome(work, check)
    taken.extend(row[0] for row in cursor)
    assert len(taken) == (5000 if statement in ("map", "table") else 1000)


def forking(fork: Fork, at: int = 0) -> Callable[[int], int]:
    def forks(x: int) -> int:
        if x == at:
            fork.here()
        return x

    return forks


def test_a_host_function_that_forks() -> None:
    fork = Fork()
    forks = forking(fork)

    @udfvm.udf(host_functions=[forks])
    def caller(x: int) -> int:
        return forks(x)

    assert fork.outcome(lambda: caller(0), is_forked_error) == 0


def test_a_host_function_that_forks_in_a_batch() -> None:
    fork = Fork()
    forks = forking(fork, 5)

    @udfvm.udf(host_functions=[forks])
    def caller(x: int) -> int:
        return forks(x)

    result: Any = fork.outcome(lambda: caller(np.arange(10)), is_forked_error)
    assert result.tolist() == list(range(10))


@pytest.mark.parametrize("isolation", ["statement", "row"])
@pytest.mark.parametrize("at", [1, 15])
def test_a_host_function_that_forks_in_a_statement(isolation: Any, at: int) -> None:
    fork = Fork()
    forks = forking(fork, at)

    @udfvm.udf(host_functions=[forks], isolation=isolation)
    def caller(x: int) -> int:
        return forks(x)

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, caller)

    def check(result: object) -> None:
        is_typed(result)
        connection.close(True)  # SQLite's own lock of the connection is the child's now

    result = fork.outcome(
        lambda: connection.execute(NUMBERS + "caller(i) FROM n LIMIT 20").fetchall(), check
    )
    assert result == [(i,) for i in range(1, 21)]


@udfvm.udf(timeout=CHILD_SECONDS)
def waits(x: int) -> int:
    for _ in range(40_000_000 if x == 15 else 0):  # a multiple of BUSY_SECONDS
        pass
    return x


@pytest.mark.parametrize("way", ["call", "one row", "streaming", "progress handler"])
def test_a_signal_handler_that_forks(way: str) -> None:
    fork = Fork()
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, waits)
    waits(1)
    sql = NUMBERS + "waits(i) FROM n LIMIT 20" if way == "streaming" else "SELECT waits(15)"

    def work() -> object:
        if way == "progress handler":  # which the extension has SQLite ask during the call
            connection.set_progress_handler(lambda: bool(fork.child is None and fork.here()), 1000)
            return connection.execute(sql).fetchall()[-1]
        with handling_when_busy(fork.here):
            return waits(15) if way == "call" else connection.execute(sql).fetchall()[-1]

    fork.outcome(work, is_forked_error if way == "call" else is_typed)


BUILDS = """
    import os, random, sys, threading, time, udfvm

    sys.path.insert(0, sys.argv[1])
    from busy_processes import processor_seconds

    tag = random.random()  # the function differs in each run, so its image is not in the cache

    @udfvm.udf(sample=(1,), timeout=60)
    def slow(x: int) -> int:
        for _ in range(10_000_000 if x == 1 else 0):
            pass
        return x + int(tag * 0)

    thread = threading.Thread(target=slow, args=(1,))
    thread.start()
    children = []
    while thread.is_alive():
        begin = processor_seconds(os.getpid())
        while thread.is_alive() and processor_seconds(os.getpid()) - begin < 0.1:
            time.sleep(0.01)  # until the thread is that much further
        child = os.fork()
        if child == 0:
            os._exit(0 if slow(2) == 2 else 1)
        children.append(child)
    print([os.waitpid(child, 0)[1] for child in children])
"""


def test_a_child_that_is_forked_while_another_thread_builds() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BUILDS), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses = ast.literal_eval(done.stdout)
    assert statuses and not any(statuses)


IMPORTS = """
    import importlib, os, pathlib, sys, threading, time

    from udfvm import forks

    folder = pathlib.Path(sys.argv[1])
    (folder / "slow_one.py").write_text("import gate\\ngate.begun.set()\\ngate.go_on.wait(60)\\n")
    (folder / "gate.py").write_text(
        "import threading\\nbegun, go_on = threading.Event(), threading.Event()\\n"
    )
    sys.path.insert(0, str(folder))
    import gate

    forks._NEEDED.add("slow_one")
    importing = threading.Thread(target=importlib.import_module, args=["slow_one"])
    importing.start()
    gate.begun.wait(60)
    main, forked = threading.main_thread().ident, threading.Event()

    def names(frame):
        while frame is not None:
            yield frame.f_code.co_name
            frame = frame.f_back

    def release():
        while not forked.is_set() and "_await_imports" not in names(sys._current_frames()[main]):
            time.sleep(0.001)
        gate.go_on.set()

    releasing = threading.Thread(target=release)
    releasing.start()
    child = os.fork()
    if child == 0:
        os._exit(int(sys.modules["slow_one"].__spec__._initializing))
    forked.set()
    importing.join(), releasing.join()
    print(os.waitpid(child, 0)[1])
"""


def test_a_fork_waits_for_imports_that_calls_need(tmp_path: Path) -> None:
    """A child has the locks of imports, but not the threads that would release them."""
    command = [sys.executable, "-c", textwrap.dedent(IMPORTS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stdout + done.stderr


UNFINISHED = """
    import importlib, os, pathlib, sys, threading

    import udfvm

    folder = pathlib.Path(sys.argv[1])
    (folder / "gate.py").write_text(
        "import os, threading\\nbegun, go_on = threading.Event(), threading.Event()\\n"
        "parent = os.getpid()\\n"
    )
    (folder / "slow_one.py").write_text(
        "import gate, os\\nif os.getpid() == gate.parent:\\n"
        "    gate.begun.set()\\n    gate.go_on.wait(60)\\ndone = True\\n"
    )
    sys.path.insert(0, str(folder))
    import gate

    importing = threading.Thread(target=importlib.import_module, args=["slow_one"])
    importing.start()
    gate.begun.wait(60)
    child = os.fork()
    if child == 0:
        import slow_one

        os._exit(0 if slow_one.done else 1)
    _, status = os.waitpid(child, 0)
    gate.go_on.set()
    importing.join()
    import slow_one

    print(os.waitstatus_to_exitcode(status), slow_one.done)
"""


def test_a_child_imports_what_another_thread_was_importing(tmp_path: Path) -> None:
    """Of any package: the fork does not wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(UNFINISHED), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0 True\n"), done.stderr
