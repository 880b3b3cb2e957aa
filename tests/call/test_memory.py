"""Memory of the host: what calls took comes back, and what an image does not store is never
read.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pytest

import udfvm
import udfvm.sqlite

MIB = 1 << 20


def bomb(size: int) -> int:
    blocks = []
    try:
        while True:
            blocks.append(b"\xaa" * size)
    except MemoryError:
        return len(blocks)


def count(x: int) -> int:
    import builtins

    builtins.seen = getattr(builtins, "seen", 0) + 1  # type: ignore[attr-defined]
    return int(builtins.seen)  # type: ignore[attr-defined]


def private() -> int:
    """Bytes of this process that are no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def comes_down_to(limit: int, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while private() > limit and time.monotonic() < end:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the test itself has freed
        time.sleep(0.05)
    return private() <= limit


def resident_zeros(image: udfvm.vmm.Image) -> int:
    """Bytes of the page cache that hold what the image's file does not: pages that are in memory
    beyond those on disk.
    """
    assert image.path is not None
    with image.path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        pages = (len(mapped) + 4095) // 4096
        vector = (ctypes.c_ubyte * pages)()
        address = np.frombuffer(mapped, np.uint8).ctypes.data
        library = ctypes.CDLL(None, use_errno=True)
        assert (
            library.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), vector) == 0
        ), ctypes.get_errno()
        return (
            int((np.frombuffer(vector, np.uint8) & 1).sum()) * 4096
            - image.path.stat().st_blocks * 512
        )


@pytest.mark.parametrize("size", [MIB, 16 << 10], ids=["large blocks", "small blocks"])
def test_after_a_bomb_memory_comes_back_at_once(size: int) -> None:
    pool = udfvm.Pool()
    function, small = udfvm.udf(timeout=None, pool=pool)(bomb), udfvm.udf(pool=pool)(count)
    assert small(1) == 1 and function.prepare()
    before = private()
    assert function(size) * size > 300 * MIB
    assert private() - before < 210 * MIB  # scratch, and 64 MiB
    assert small(1) == 1 and small(1) == 1
    pool.close()


def test_what_idle_vms_have_comes_back_in_time() -> None:
    pool = udfvm.Pool(keep_seconds=0.5)
    function = udfvm.udf(timeout=None, memory="128MiB", pool=pool)(bomb)
    small = udfvm.udf(pool=pool)(count)
    assert small(1) == 1 and function.prepare()
    before = private()
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(function(MIB))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert comes_down_to(before + 6 * MIB)
    assert small(1) == 1 and function(MIB) == results[0]
    assert comes_down_to(before + 6 * MIB)
    pool.close()


@pytest.mark.parametrize("borrowed", [False, True], ids=["copied", "borrowed"])
def test_after_large_batches(borrowed: bool) -> None:
    pool = udfvm.Pool(keep_seconds=0.5)

    def plus(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return x + 1 if len(x) > 1 else x + np.arange(4_000_000.0).sum()

    function = udfvm.udf(
        plus, vectorized=True, input_types=["double"], output_type="double", pool=pool
    )
    function(np.zeros(10))
    before = private()
    x = np.arange(4_000_000.0 if borrowed else 1.0)
    expected = x + 1 if borrowed else x + np.arange(4_000_000.0).sum()
    for _ in range(3):
        np.testing.assert_array_equal(function(x), expected)
        gc.collect()
        assert comes_down_to(before + x.nbytes + expected.nbytes + 16 * MIB)
    pool.close()


def test_nothing_is_left_in_memory_that_was_given_back() -> None:
    pool = udfvm.Pool(size=1, keep_seconds=0.2)

    def fill(size: int) -> int:
        blocks = [b"\xa7" * 4000 + b"secret-of-an-earlier-call" for _ in range(size // 4100)]
        return len(blocks)

    def search(_: int) -> int:
        needle = b"secret-of-an-" + b"earlier-call"
        found = 0
        with open("/proc/self/maps") as maps:
            lines = maps.read().splitlines()
        for line in lines:
            low, high = (int(word, 16) for word in line.split()[0].split("-"))
            if "r" in line.split()[1] and high - low < 1 << 30:
                found += ctypes.string_at(low, high - low).count(needle)
        return found

    filler, searcher = udfvm.udf(pool=pool)(fill), udfvm.udf(pool=pool, timeout=60.0)(search)
    own = searcher(1)  # what its own code holds
    small = private()
    for size in (1 * MIB, 20 * MIB, 120 * MIB):
        assert filler(size) == size // 4100
        assert searcher(1) == own
        assert comes_down_to(small + 16 * MIB)  # the VM was shrunk
        assert searcher(1) == own
    pool.close()


@pytest.mark.parametrize(("function", "package"), [(bomb, "fractions"), (count, "colorsys")])
def test_the_page_cache_holds_no_zeros(function: Callable[[int], int], package: str) -> None:
    """``package``: a base image that no other test uses meanwhile, in this process or another."""
    made = udfvm.udf(timeout=None, pool=udfvm.Pool(), packages=[package])(function)
    before = resident_zeros(made.image.base)
    made(16 << 10)
    made(MIB)
    made.pool.trim()
    made(MIB)
    assert resident_zeros(made.image.base) - max(before, 0) < 16 * MIB
    made.pool.close()


def test_statements_give_back_their_windows() -> None:
    @udfvm.udf(timeout=None)
    def large(size: int) -> bytes:
        return bytes(size)

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, large)
    assert connection.execute("SELECT length(large(10))").fetchall() == [(10,)]
    before = private()
    assert connection.execute("SELECT length(large(60000000))").fetchall() == [(60_000_000,)]
    gc.collect()
    assert comes_down_to(before + 40 * MIB, 10.0)
    connection.close()
