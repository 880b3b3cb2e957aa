"""Deadlines hold whatever the program does with its signals and limits, for calls of every kind."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import apsw
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite

# Every case is a process of its own, forked when all is imported and the images exist.
PROGRAM = """
import json, os, resource, signal, sys, threading, warnings, apsw, numpy as np, udfvm, udfvm.sqlite

warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # CPython 3.12 at each fork

@udfvm.udf(timeout=0.04)
def loop(x: int) -> int:
    while x < 0:
        pass
    return x + 1

@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64", timeout=0.04)
def batch(x):
    while x[0].as_py() < 0:
        pass
    return x

def take_vms():
    while True:
        try:
            return loop(1), batch(np.array([1]))
        except udfvm.CallTimeoutError:  # the machine is busy
            pass

def run(change):
    exec(change)
    kinds = [
        lambda: loop(-1),
        lambda: batch(np.array([-1])),
        lambda: connection.execute("SELECT loop(-1)").fetchall(),
        lambda: connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
            " SELECT loop(20 - i) FROM n"
        ).fetchall(),
        lambda: connection.execute("SELECT * FROM vm_map('loop', 'SELECT 1, -1')").fetchall(),
    ]
    for kind in kinds:
        try:
            kind()
        except (udfvm.CallTimeoutError, apsw.SQLError) as error:
            print("did not end within 0.04 s" in str(error), flush=True)

loop.prepare()
batch.prepare()
for change, in_thread in json.loads(sys.argv[1]):
    print("case", flush=True)
    child = os.fork()
    if not child:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, loop, batch)
        take_vms()
        if in_thread:
            connection.execute("SELECT 1")
            worker = threading.Thread(target=run, args=(change,))
            worker.start()
            worker.join()
        else:
            run(change)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""
CHANGES = {
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "ignored": "signal.signal(signal.SIGRTMAX - 3, signal.SIG_IGN)",
    "default": "signal.signal(signal.SIGRTMAX - 3, signal.SIG_DFL)",
    "handled": "signal.signal(signal.SIGRTMAX - 3, lambda *_: None)",
    "no files": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3,"
        " resource.getrlimit(resource.RLIMIT_NOFILE)[1]))"
    ),
    "no signals": (
        "resource.setrlimit(resource.RLIMIT_SIGPENDING, (0,"
        " resource.getrlimit(resource.RLIMIT_SIGPENDING)[1]))"
    ),
}


CASES = [
    (change, thread)
    for change in CHANGES
    for thread in (False, True)
    if not (thread and "signal.signal" in CHANGES[change])  # handlers are set by the main thread
]


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, bool], list[str]]:
    """What the program says in each case."""
    cases = json.dumps([(CHANGES[change], thread) for change, thread in CASES])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, cases], capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(CASES, map(str.split, done.stdout.split("case\n")[1:]), strict=True))


@pytest.mark.parametrize(("change", "thread"), CASES)
def test_deadlines_hold(
    answers: dict[tuple[str, bool], list[str]], change: str, thread: bool
) -> None:
    assert answers[change, thread] == ["True"] * 5


def test_calls_of_host_functions_end_with_the_call_that_they_serve() -> None:
    @udfvm.udf(timeout=600.0)
    def endless(x: int) -> int:
        while True:
            pass

    caught: list[BaseException] = []

    def inner(x: int) -> int:
        try:
            return int(endless(x))
        except udfvm.CallTimeoutError as error:
            caught.append(error)
            raise

    @udfvm.udf(timeout=0.5, host_functions=[inner])
    def outer(x: int) -> int:
        return inner(x)

    endless.prepare()
    with pytest.raises(
        udfvm.CallTimeoutError, match=r"UDF 'outer': the call did not end within 0\.5 s"
    ):
        outer(1)
    assert "part of" in str(caught[0])


def test_calls_that_recurse_end_with_the_first() -> None:
    def again(x: int) -> int:
        return int(recursive(x))

    pool = udfvm.Pool(size=3, wait=600.0)

    @udfvm.udf(timeout=1.0, host_functions=[again], pool=pool)
    def recursive(x: int) -> int:
        return again(x + 1)

    with pool:
        recursive.prepare()
        with (
            pool._for_base(recursive.image.base).vm(recursive.image),
            pytest.raises(udfvm.CallTimeoutError),
        ):
            recursive(1)  # the third call waits for a VM that may become free
        with pytest.raises(
            udfvm.HostFunctionError,
            match="BusyError: UDF 'recursive': all 3 VMs of the pool are in use by the calls"
            " that this one is",
        ):
            recursive(1)  # the fourth would wait for its callers


def test_a_wait_for_a_vm_counts() -> None:
    with udfvm.Pool(size=1, wait=600.0) as pool:

        @udfvm.udf(timeout=0.2, pool=pool)
        def quick(x: int) -> int:
            return x

        quick(1)
        table = pa.table({"x": [1]})
        calls = {
            "timeout": (lambda: quick(1), lambda: quick(pa.array([1, None]))),
            "timeout_per_row": (lambda: quick.map(table, keep=[], timeout_per_row=0.2),),
        }
        for option, made in calls.items():
            text = r"did not begin within 0\.2 s: the only VM of the pool was busy.*; raise "
            for call in made:
                with (
                    pool._for_base(quick.image.base).vm(quick.image),
                    pytest.raises(udfvm.CallTimeoutError, match=f"^UDF 'quick'.*{text}{option}="),
                ):
                    call()
        assert quick(1) == 1


def test_statements_of_host_functions_end_with_the_call_that_they_serve() -> None:
    @udfvm.udf(timeout=600.0)
    def stops_at(x: int) -> int:
        while x == 20:
            pass
        return x

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, stops_at)
    texts: list[str] = []

    def query(x: int) -> int:
        sql = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT"
            " sum(stops_at(i)) FROM n"
        )
        try:
            return int(connection.execute(sql).fetchone()[0])
        except apsw.SQLError as error:
            texts.append(str(error))
            raise

    @udfvm.udf(timeout=1.0, host_functions=[query])
    def outer(x: int) -> int:
        return query(x)

    with pytest.raises(udfvm.CallTimeoutError, match="UDF 'outer'"):
        outer(1)
    assert "part of" in texts[0]


def test_rows_are_in_time_however_busy_the_processors_are() -> None:
    """Threads that share processors note the times of one another's requests in any order."""

    @udfvm.udf(timeout=1000)
    def successor(x: int) -> int:
        return x + 1

    def rows(found: list[int]) -> None:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, successor)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000)"
        found += connection.execute(f"{numbers} SELECT sum(successor(i)) FROM n").fetchone()

    sums: list[int] = []
    threads = [threading.Thread(target=rows, args=(sums,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [10_000 * 10_003 // 2] * 6


@udfvm.udf(timeout=0.1, input_types=["int64"], output_type="int64")
def until_three(x):  # type: ignore[no-untyped-def]
    while x > 2:
        pass
    return x


COLUMNS: dict[str, Callable[[int], Any]] = {
    "numpy": np.arange,
    "pyarrow": lambda rows: pa.array(range(rows)),
    "chunks": lambda rows: pa.chunked_array([range(rows)]),
    "nulls": lambda rows: pa.array([None, *range(1, rows)]),
    "pandas": lambda rows: pd.Series(range(rows)),
}


def three_rows(column: Callable[[int], Any]) -> Any:
    """The result of a call that ends, however busy the machine is."""
    while True:
        try:
            return until_three(column(3))
        except udfvm.CallTimeoutError:
            pass


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_rows_of_a_call_that_did_not_end(column: Callable[[int], Any]) -> None:
    three_rows(column)  # small arrays of numbers take another way from the second call on
    for rows in (4, 500):
        with pytest.raises(udfvm.CallTimeoutError) as caught:
            until_three(column(rows))
        assert str(caught.value) == (
            f"UDF 'until_three': the call did not end within 0.1 s: none of its {rows} rows has a"
            " result; raise timeout= if it needs longer"
        )
    assert len(three_rows(column)) == 3
    with pytest.raises(udfvm.CallTimeoutError) as caught:
        until_three(column(4)[3:])
    assert "rows" not in str(caught.value)
