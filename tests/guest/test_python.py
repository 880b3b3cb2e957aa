"""CPython in the guest: what functions may expect of the interpreter and the system under it."""

from __future__ import annotations

import numpy as np
import pytest

import udfvm


@udfvm.udf
def threads(n: int) -> int:
    import threading

    totals = [0] * 4

    def add(index: int) -> None:
        totals[index] = sum(range(n))

    workers = [threading.Thread(target=add, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(totals)


@udfvm.udf
def queues(n: int) -> int:
    import queue
    import threading

    there: queue.Queue[int | None] = queue.Queue(maxsize=2)
    back: queue.Queue[int] = queue.Queue()

    def work() -> None:
        while (item := there.get()) is not None:
            back.put(item * item)

    worker = threading.Thread(target=work)
    worker.start()
    for number in range(n):
        there.put(number)
    there.put(None)
    worker.join(timeout=5)
    return sum(back.get() for _ in range(n))


@udfvm.udf
def waits_in_threads(n: int) -> float:
    import threading
    import time

    done = threading.Event()
    started = time.monotonic()
    timer = threading.Timer(n / 1000, done.set)
    timer.start()
    done.wait()
    timer.join()
    return time.monotonic() - started


@udfvm.udf
def pools(n: int) -> int:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(lambda x: x * 2, range(n)))


@udfvm.udf
def runs_asyncio(n: int) -> int:
    import asyncio

    async def one(x: int) -> int:
        await asyncio.sleep(0.001)
        return x

    async def everything() -> int:
        return sum(await asyncio.gather(*(one(x) for x in range(n))))

    return asyncio.run(everything())


def test_threads_take_turns() -> None:
    assert threads(10_000) == 4 * sum(range(10_000))
    assert queues(100) == sum(number * number for number in range(100))
    assert waits_in_threads(5) >= 0.005
    assert pools(100) == 9900
    assert runs_asyncio(20) == 190


@udfvm.udf
def handles_signals(n: int) -> str:
    import signal

    seen: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    for _ in range(n):
        signal.raise_signal(signal.SIGUSR1)
    return ",".join(map(str, seen))


@udfvm.udf
def uses_faulthandler(n: int) -> str:
    import faulthandler
    import tempfile

    with tempfile.TemporaryFile("w+") as file:
        faulthandler.enable(file)
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read()


def test_signals() -> None:
    assert handles_signals(3) == "10,10,10"
    assert "uses_faulthandler" in uses_faulthandler(1)


@udfvm.udf
def crashes_with_faulthandler(n: int) -> int:
    import ctypes
    import faulthandler
    import sys

    faulthandler.enable(sys.__stderr__)
    return ctypes.string_at(n)[0]


def test_a_crash_under_faulthandler_is_a_crash() -> None:
    with pytest.raises(udfvm.GuestCrashError, match="SEGV"):
        crashes_with_faulthandler(8)


@udfvm.udf
def works_with_files(n: int) -> int:
    import os
    import pathlib
    import shutil
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for index in range(n):
            (folder / f"{index}.txt").write_text("x" * index)
        size = sum(path.stat().st_size for path in folder.glob("*.txt"))
        (folder / "0.txt").rename(folder / "renamed")
        shutil.copytree(folder, folder / "copy")
        assert len(os.listdir(folder / "copy")) == n
        with sqlite3.connect(folder / "database") as connection:
            connection.execute("CREATE TABLE t AS SELECT ? AS x", (size,))
        connection.close()
        with sqlite3.connect(folder / "database") as connection:
            (found,) = connection.execute("SELECT x FROM t").fetchone()
        connection.close()
        return int(found)


def test_files_in_memory() -> None:
    assert works_with_files(20) == sum(range(20))


@udfvm.udf
def memory_comes_back(n: int) -> int:
    """Takes and frees far more than there is, in large blocks and in small ones."""
    import mmap

    total = 0
    for _ in range(n):
        block = bytearray(16 << 20)
        total += block[-1]
        del block
        with mmap.mmap(-1, 8 << 20) as mapping:
            total += mapping[4 << 20]
            mapping[4 << 20] = 7
        hoard = [bytes(1000) for _ in range(5_000)]
        total += len(hoard) - 5_000
    return total


def test_memory_is_used_again_and_zeroed() -> None:
    assert memory_comes_back(30) == 0


def pages_of_objects(_: int) -> str:
    made = [
        [object() for _ in range(8)],
        [1 << shift for shift in range(40, 48)],
        [(each, each) for each in range(8)],
    ]
    return " ".join(str(len({id(each) >> 12 for each in objects})) for objects in made)


def pages_of_arrays(x: np.ndarray) -> np.ndarray:
    small, larger = ([np.empty(rows) for _ in range(4)] for rows in (0, 500))
    found = []
    for arrays in (small, larger):
        begins = [each.__array_interface__["data"][0] for each in arrays]
        ends = [begin + each.nbytes for begin, each in zip(begins, arrays, strict=True)]
        found.append(len({address >> 12 for address in begins + ends}))
    return x + found


def pages_of_chunks(_: int) -> int:
    import ctypes

    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    return len({malloc(size) >> 12 for size in range(24, 600, 16)})  # 11,000 bytes in all


def test_what_a_call_allocates_lies_together() -> None:
    """Each page that a call writes is put back after it."""
    assert udfvm.udf(pages_of_objects)(0) == "1 1 1"
    assert udfvm.udf(pages_of_chunks)(0) <= 6
    of_arrays = udfvm.udf(
        pages_of_arrays, vectorized=True, input_types=["int64"], output_type="int64"
    )
    small, larger = of_arrays(np.array([0, 0]))
    assert small == 1 and larger <= 5  # 16,000 bytes


@udfvm.udf
def looks_around(what: str) -> str:
    import os
    import platform
    import socket
    import subprocess
    import sys
    import time

    if what == "platform":
        return f"{platform.system()} {platform.machine()} {os.cpu_count()} {sys.flags.no_site}"
    if what == "time":
        return str(time.time())
    if what == "socket":
        return str(socket.create_connection(("127.0.0.1", 80), timeout=1))
    if what == "process":
        return subprocess.run(["/bin/true"]).args[0]
    if what == "fork":
        return str(os.fork())
    raise ValueError(what)


def test_the_outside_is_not_there() -> None:
    import time

    assert looks_around("platform").startswith("Linux x86_64 1 ")
    assert abs(float(looks_around("time")) - time.time()) < 60
    refusals = (
        "OSError",
        "PermissionError",
        "BlockingIOError",
        "ConnectionRefusedError",
        "FileNotFoundError",
    )
    for what in ("socket", "process", "fork"):
        with pytest.raises(udfvm.UDFError) as caught:
            looks_around(what)
        assert caught.value.guest_type in refusals, what


@udfvm.udf(timeout=60)
def imports(name: str) -> str:
    import importlib

    module = importlib.import_module(name)
    return str(getattr(module, "__name__", ""))


@pytest.mark.parametrize(
    "name",
    [
        "numpy.linalg",
        "pandas",
        "pyarrow.compute",
        "decimal",
        "ssl",
        "sqlite3",
        "zoneinfo",
        "multiprocessing",
    ],
)
def test_modules_import(name: str) -> None:
    assert imports(name) == name
