"""Timeouts in a row, storms of signals, ends of the interpreter while calls run, too little memory,
and a disk without room: each is a typed error or does not matter, and the next call is right.

The usual run has 50 timeouts; ``UDFVM_FAULTS=all`` has 10,000.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

import udfvm
import udfvm.sqlite

ALL = os.environ.get("UDFVM_FAULTS") == "all"
TIMEOUTS = 10_000 if ALL else 50
FORKS = 500 if ALL else 8
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
GROWTH = 24 << 20  # bytes: less than the memory of a VM
WITHOUT_SANITIZERS = pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="sanitizers reserve terabytes of addresses"
)


@udfvm.udf(timeout=0.01)
def below_ten(x: int) -> int:
    while x >= 10:
        pass
    return x + 1


@udfvm.udf(timeout=60)
def successor(x: int) -> int:
    return x + 1


# ---- Timeouts ----


def resources() -> tuple[int, int]:
    """The numbers of descriptors and of threads of this process."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def private() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def right(call: Callable[[], object]) -> object:
    """What a call returns once it ends in time: on a busy machine even a short one may not."""
    while True:
        try:
            return call()
        except (udfvm.CallTimeoutError, apsw.SQLError) as error:
            assert "within 0.01 s" in str(error), error


def test_timeouts_in_a_row() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, below_ten)
    late = f"{ROWS.format(30)} SELECT sum(below_ten(i - 15)) FROM n"  # a streaming call
    in_time: list[tuple[Callable[[], object], object]] = [
        (lambda: below_ten(1), 2),
        (lambda: below_ten(np.arange(3)).tolist(), [1, 2, 3]),
        (lambda: connection.execute("SELECT below_ten(1)").fetchall(), [(2,)]),
    ]
    too_late: list[Callable[[], object]] = [
        lambda: below_ten(10),
        lambda: below_ten(np.arange(11)),
        lambda: connection.execute("SELECT below_ten(10)").fetchall(),
        lambda: connection.execute(late).fetchall(),
    ]
    for call in too_late:
        with pytest.raises((udfvm.CallTimeoutError, apsw.SQLError), match=r"within 0\.01 s"):
            call()
    before, memory = resources(), private()
    for number in range(TIMEOUTS):
        with pytest.raises((udfvm.CallTimeoutError, apsw.SQLError), match=r"within 0\.01 s"):
            too_late[number % len(too_late)]()
        if number % 10 == 0:
            assert [right(call) for call, _ in in_time] == [result for _, result in in_time]
    descriptors, threads = resources()
    assert descriptors <= before[0] and threads <= before[1] + 1
    assert private() - memory < GROWTH
    connection.close()


# ---- Signals ----


@contextmanager
def storm(interval: float) -> Iterator[list[int]]:
    """Signals of the timer, and of another thread, while a block runs."""
    seen, over = [0, 0], threading.Event()

    def count(number: int, _frame: object) -> None:
        seen[number == signal.SIGUSR1] += 1

    def send() -> None:
        while not over.wait(interval):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = [signal.signal(number, count) for number in (signal.SIGALRM, signal.SIGUSR1)]
    sender = threading.Thread(target=send)
    sender.start()
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        over.set()
        sender.join()
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGUSR1, before[1])


def test_a_storm_of_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an image is built, too."""
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path / "cache"))
    source = "int f(int x) { int n = 0; for (int i = 0; i < 3000000; i++) n += x; return n != 0; }"
    with storm(0.001) as seen, udfvm.Pool() as pool:
        built = udfvm.from_c(source, "f", signature="(i32) -> i32", pool=pool, memory="16MiB")
        while min(seen) < 100:
            assert built(1) == 1
        monkeypatch.undo()
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, successor)
        assert [successor(number) for number in range(50)] == list(range(1, 51))
        values = np.arange(400_000)
        assert np.array_equal(successor(values[:4000]), values[:4000] + 1)
        rows = f"{ROWS.format(2000)} SELECT sum(successor(i)) FROM n"
        assert connection.execute(rows).fetchall() == [(2_003_000,)]
        connection.close()


# ---- Forks ----


def test_forks_at_any_moment() -> None:
    """Two threads call, and stream rows, while a third one forks. Each child calls, too."""
    over, failures = threading.Event(), []

    def work(call: Callable[[], bool]) -> None:
        while not over.is_set():
            if not call():
                failures.append(call)

    def rows() -> bool:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, successor)
        found = connection.execute(f"{ROWS.format(200)} SELECT sum(successor(i)) FROM n").fetchall()
        connection.close()
        return found == [(20_300,)]

    successor.prepare()
    calls: list[Callable[[], bool]] = [lambda: successor(1) == 2, rows]
    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(FORKS):
        child = os.fork()
        if child == 0:
            signal.alarm(120)
            os._exit(0 if successor(2) == 3 else 1)
        statuses.append(os.waitpid(child, 0)[1])
    over.set()
    for thread in threads:
        thread.join()
    assert not failures and statuses == [0] * FORKS


# ---- The end of the interpreter ----

ENDS = """
import atexit, os, sys, threading
import apsw, numpy as np, udfvm, udfvm.sqlite

@udfvm.udf(timeout=600)
def until(x: int) -> int:
    while x > 1000:
        pass
    return x + 1

def calls():
    while True:
        assert until(1) == 2
        assert until(np.arange(3)).tolist() == [1, 2, 3]

def endless():
    until(1001)

def statement():
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, until)
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    connection.execute(rows + " SELECT sum(until(i)) FROM n").fetchall()

until.prepare()
for work in (calls, endless, statement):
    threading.Thread(target=work, daemon=True).start()
sys.path.insert(0, sys.argv[1])
from busy_processes import await_busy
await_busy(os.getpid(), 0.2)
"""
WAYS = {
    "the main module ends": "",
    "a call at exit": "atexit.register(lambda: until(1))",
    "a fork, whose child ends": "child = os.fork()\nif child:\n    os.waitpid(child, 0)",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_interpreter_ends_while_calls_run(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS + WAYS[way], str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- Memory ----


@WITHOUT_SANITIZERS
def test_addresses_that_run_out() -> None:
    """From none to more than enough: each call is right or fails with a typed error."""
    with udfvm.Pool(size=1) as pool:
        function = successor.with_options(pool=pool)
        assert function(1) == 2
        usual = resource.getrlimit(resource.RLIMIT_AS)
        pool.trim()  # what is used is used without a VM
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        outcomes = set()
        for more in range(0, 2048, 64):
            pool.trim()
            resource.setrlimit(resource.RLIMIT_AS, (used + (more << 20), usual[1]))
            try:
                outcome: Any = function(1)
            except udfvm.HostError as error:
                outcome = type(error)
                assert "Cannot allocate memory" in str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, usual)
            outcomes.add(outcome)
            assert function(1) == 2
        assert outcomes == {2, udfvm.HostError}


PRESSED = """
import sys
import numpy as np, udfvm

@udfvm.udf(timeout=600)
def successor(x: int) -> int:
    return x + 1

values = np.arange(2_000_000)
for number in range(4):
    assert np.array_equal(successor(values + number), values + number + 1)
    assert successor(number) == number + 1
print("right")
"""


@pytest.mark.skipif(
    not os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK), reason="no cgroup for memory"
)
@pytest.mark.parametrize("megabytes", [64, 192] if ALL else [128])
def test_memory_that_others_need(megabytes: int) -> None:
    """Linux ends the process, or takes pages of images from it: what it answers is right."""
    successor.prepare()
    group = MEMORY_GROUPS / f"udfvm-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(f"{megabytes}M")
        enter = f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"'
        done = subprocess.run(
            ["sh", "-c", enter, sys.executable, "-c", PRESSED], capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
    finally:
        group.rmdir()
    ended = (done.returncode, done.stdout)
    assert ended in ((0, "right\n"), (-signal.SIGKILL, "")), done.stderr
    assert successor(1) == 2


# ---- The disk ----

BUILDS = """
import os, sys, udfvm
for options in ("mode=700,nr_inodes=2", "mode=700,size=256k", "mode=700,ro"):
    os.system(f"mount -t tmpfs -o {options} none " + sys.argv[1])
    try:
        built = udfvm.from_elf(sys.argv[2], "twice", signature="(i32) -> i32", memory="16MiB")
        built(21)
    except udfvm.CacheError as error:
        print(error)
    left = [name for name in os.listdir(sys.argv[1]) if name.endswith(".tmp")]
    assert not left, left
    os.system("umount " + sys.argv[1])
os.system("mount -t tmpfs -o mode=700 none " + sys.argv[1])
print(udfvm.from_elf(sys.argv[2], "twice", signature="(i32) -> i32", memory="16MiB")(21))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_without_room(tmp_path: Path) -> None:
    """Without inodes, without space, read-only; then the same process finds room."""
    library, cache = tmp_path / "twice.so", tmp_path / "cache"
    (tmp_path / "twice.c").write_text("int twice(int x) { return 2 * x; }")
    flags = ["-shared", "-fPIC", "-o"]
    subprocess.run(["gcc", *flags, library, tmp_path / "twice.c"], check=True)
    cache.mkdir(mode=0o700)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(BUILDS), cache, library],
        env={**os.environ, "UDFVM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *errors, result = done.stdout.splitlines()
    assert result == "42"
    assert ["No space left" in error for error in errors] == [True, True, False]
    assert "Read-only file system" in errors[2]
