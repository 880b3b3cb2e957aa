"""What programs expect of Linux: each piece of Python gives the same result in a VM and here."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

import udfvm


@udfvm.udf
def runs(source: str, folder: str) -> str:
    names = {"folder": folder}
    exec(source, names)
    return repr(names["result"])


def here(source: str, folder: str) -> str:
    """Returns what the piece gives in this process."""
    names = {"folder": folder}
    exec(source, names)
    return repr(names["result"])


SHARED_MAPPINGS = {
    "memmap": """
        import numpy
        path, result = folder + "/numbers", []
        for mode in ("w+", "r+", "r", "c"):
            numbers = numpy.memmap(path, dtype="u1", mode=mode, shape=(10000,))
            result.append(int(numbers.sum()))
            if mode != "r":
                numbers[:100] = 7
                numbers[-1] = 9
            if mode == "w+":
                numbers.flush()
            result.append((int(numbers.sum()), int(numpy.fromfile(path, "u1").sum())))
    """,
    "resize": """
        import mmap
        file = open(folder + "/file", "wb+")
        file.write(b"a" * 8192)
        file.flush()
        first, second = mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 4096, offset=4096)
        first[4096:4100] = b"here"
        result = [second[:6], file.seek(0, 2)]
        second.close()
        first.resize(40960)
        first[-3:] = b"end"
        file.seek(-3, 2)
        result += [file.read(), len(first), bytes(first[4096:4101]), first.flush()]
    """,
    "write_ahead_log": """
        import os, sqlite3
        path = folder + "/data.db"
        first = sqlite3.connect(path, isolation_level=None)
        result = [first.execute("PRAGMA journal_mode = wal").fetchall()]
        first.execute("CREATE TABLE numbers (n)")
        second = sqlite3.connect(path, isolation_level=None)
        second.execute("PRAGMA mmap_size = 1000000")
        first.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(2000)))
        result.append(second.execute("SELECT count(*), sum(n) FROM numbers").fetchall())
        first.execute("BEGIN")
        first.execute("DELETE FROM numbers")
        result.append(second.execute("SELECT count(*) FROM numbers").fetchall())
        first.execute("COMMIT")
        result += second.execute("SELECT count(*) FROM numbers").fetchall()
        result.append(second.execute("PRAGMA wal_checkpoint").fetchall()[0][0])
        second.close()
        first.close()
        result.append([n for n in os.listdir(folder) if n.startswith("data")])
    """,
    "semaphores": """
        import multiprocessing
        lock, semaphore = multiprocessing.Lock(), multiprocessing.BoundedSemaphore(2)
        result = [lock.acquire(), lock.acquire(block=False), semaphore.acquire()]
        result += [semaphore.acquire(timeout=0), semaphore.acquire(timeout=0)]
        lock.release()
        with lock:
            result.append(multiprocessing.Event().is_set())
    """,
}


@pytest.mark.parametrize("name", list(SHARED_MAPPINGS))
def test_shared_mappings_are_the_file(name: str, tmp_path: Path) -> None:
    source = dedent(SHARED_MAPPINGS[name])
    assert runs(source, "/tmp") == here(source, str(tmp_path))
