"""Files that functions are given by ``data=``: what a function finds, what changes of them do, and
what they cost.
"""

from __future__ import annotations

import mmap
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import udfvm

MEBIBYTE = 1 << 20
root_reads_all = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")


@pytest.fixture(scope="module")
def pool() -> Iterator[udfvm.Pool]:
    with udfvm.Pool(size=4) as pool:
        yield pool


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    np.arange(100_000, dtype="f8").tofile(path)
    return path


@pytest.fixture
def evaluate(pool: udfvm.Pool, model: Path, tmp_path: Path) -> Callable[[str], str]:
    """Evaluates an expression where the file and a pickle are data."""
    pickled = tmp_path / "any name"
    pickled.write_bytes(pickle.dumps({"a": [1, 2]}))

    @udfvm.udf(data={"model": model, "table.pickle": str(pickled)}, pool=pool)
    def evaluate(code: str) -> str:
        try:
            names = {"mmap": mmap, "np": np, "os": os, "pickle": pickle}
            return repr(eval(code, names))
        except OSError as error:
            return type(error).__name__ + " " + os.strerror(error.errno or 0)

    return evaluate


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open('/data/model', 'rb').read(16)[8:]", repr(np.float64(1).tobytes())),
        ("pickle.load(open('/data/table.pickle', 'rb'))", "{'a': [1, 2]}"),
        ("float(np.memmap('/data/model', 'f8', 'r')[-1])", "99999.0"),
        ("float(np.fromfile('/data/model', 'f8').sum())", "4999950000.0"),
        ("sorted(os.listdir('/data'))", "['model', 'table.pickle']"),
        ("os.listdir('/').count('data'), os.listdir('/').count('tmp')", "(1, 1)"),
        ("[each.is_dir() for each in os.scandir('/') if each.name == 'data']", "[True]"),
        ("os.path.getsize('/data/model')", "800000"),
        ("os.path.realpath('/data/../data/./model')", "'/data/model'"),
        ("len(mmap.mmap(os.open('/data/model', 0), 0, prot=mmap.PROT_READ))", "800000"),
        ("mmap.mmap(os.open('/data/model', 0), 0, access=mmap.ACCESS_READ).close()", "None"),
        (
            "mmap.mmap(os.open('/data/model', 0), 0, prot=1).madvise(mmap.MADV_WILLNEED)",
            "None",
        ),
        ("mmap.mmap(os.open('/data/model', 0), 8, prot=1, offset=4096)[:8]",
         repr(np.float64(512).tobytes())),
        (
            "os.write(os.open('/tmp/copy', 65), mmap.mmap(os.open('/data/model', 0), 0, prot=1))",
            "800000",
        ),
    ],
)  # fmt: skip
def test_files_are_read_in_every_way(
    evaluate: Callable[[str], str], code: str, expected: str
) -> None:
    assert evaluate(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "open('/data/model', 'r+b')",
        "open('/data/model', 'wb')",
        "open('/data/new', 'wb')",
        "os.remove('/data/model')",
        "os.truncate('/data/model', 0)",
        "os.chmod('/data/model', 0)",
        "os.mkdir('/data/folder')",
        "os.symlink('/tmp', '/data/link')",
        "os.rename('/data/model', '/data/other')",
        "np.memmap('/data/model', 'f8', 'r+')",
    ],
)
def test_nothing_is_written(evaluate: Callable[[str], str], code: str, model: Path) -> None:
    before = model.read_bytes()
    assert evaluate(code) in ("OSError Read-only file system", "PermissionError Permission denied")
    assert evaluate("mmap.mmap(os.open('/data/model', 0), 0, access=mmap.ACCESS_WRITE)") == (
        "PermissionError Permission denied"
    )
    assert model.read_bytes() == before


def test_private_mappings_are_copies(pool: udfvm.Pool, model: Path) -> None:
    @udfvm.udf(data={"model": model}, pool=pool)
    def written(at: int) -> float:
        changed = np.memmap("/data/model", "f8", "c")
        changed[at] = -1
        return float(changed[at] + np.memmap("/data/model", "f8", "r")[at])

    before = model.read_bytes()
    assert [written(10), written(10)] == [9.0, 9.0]
    assert model.read_bytes() == before


def test_stray_writes_are_faults(pool: udfvm.Pool, model: Path) -> None:
    @udfvm.udf(data={"model": model}, pool=pool)
    def stray(at: int) -> int:
        import ctypes

        array = np.memmap("/data/model", "f8", "r")
        ctypes.memset(array.ctypes.data + at, 1, 8)
        return 1

    before = model.read_bytes()
    with pytest.raises(udfvm.GuestCrashError, match="SEGV"):
        stray(8)
    assert model.read_bytes() == before


def test_only_functions_that_were_given_a_file_have_it(pool: udfvm.Pool, model: Path) -> None:
    def size(name: str) -> int:
        assert os.listdir("/").count("data") == os.path.exists("/data")
        return os.path.getsize(f"/data/{name}")

    bare = udfvm.udf(size, pool=pool)
    one = udfvm.udf(size, pool=pool, data={"a": model})
    for _ in range(2):  # their VMs are idle meanwhile
        assert one("a") == 800_000
        for function, name in ((bare, "a"), (one, "b"), (one.with_options(data=None), "a")):
            with pytest.raises(udfvm.UDFError, match=r"FileNotFoundError(.|\n)*data="):
                function(name)
    assert one.with_options(data={"b": model})("b") == 800_000


def test_what_is_read_while_the_image_is_built_is_in_it(pool: udfvm.Pool, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("a b c")
    source = """
words = open('/data/words').read().split()
def count(i: int) -> int: return len(words)
"""
    count = udfvm.from_source(source, data={"words": path}, pool=pool)
    assert count(0) == 3
    (tmp_path / "new").write_text("a b c d")
    (tmp_path / "new").rename(path)
    assert count(0) == 3
    assert count.refresh()(0) == 4


def test_a_file_that_was_replaced_stays_until_it_is_opened_anew(
    pool: udfvm.Pool, model: Path
) -> None:
    @udfvm.udf(data={"model": model}, pool=pool)
    def last(at: int) -> float:
        return float(np.memmap("/data/model", "f8", "r")[at])

    assert last(-1) == 99999.0
    new = model.with_name("new")
    np.arange(5, dtype="f8").tofile(new)
    new.rename(model)
    assert last(-1) == 99999.0
    assert last.refresh()(-1) == 4.0


@pytest.mark.parametrize("jail", [False, True])
def test_a_file_that_changes_fails_calls_and_nothing_else(model: Path, jail: bool) -> None:
    def cut() -> int:
        os.truncate(model, 4096)
        return 0

    with udfvm.Pool(size=1, jail=jail) as pool:

        @udfvm.udf(data={"model": model}, pool=pool, host_functions=[cut])
        def last(cuts: bool) -> float:
            array = np.memmap("/data/model", "f8", "r")
            if cuts:
                cut()
            return float(array[-1])

        content = model.read_bytes()
        assert last(False) == 99999.0
        for cuts in (True, False):
            with pytest.raises(udfvm.DataFileChangedError, match=r"'last'.*'model'.*refresh"):
                last(cuts)
        model.write_bytes(content)
        with pytest.raises(udfvm.DataFileChangedError, match="was written"):
            last(False)
        assert last.refresh()(False) == 99999.0


# ---- Memory ----


def anonymous_memory() -> int:
    """Bytes of this process that are no file's."""
    text = Path("/proc/self/smaps_rollup").read_text()
    found = re.search(r"^Anonymous: +(\d+) kB", text, re.M)
    assert found is not None
    return int(found[1]) << 10


def mappings_of(path: Path) -> list[int]:
    """Resident bytes of each mapping of a file in this process."""
    text = Path("/proc/self/smaps").read_text()
    entries = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)
    sizes = (re.search(r"^Rss: +(\d+) kB", each, re.M) for each in entries if str(path) in each)
    return [int(found[1]) << 10 for found in sizes if found]


def test_all_vms_share_the_memory_of_a_file(tmp_path: Path) -> None:
    path, size = tmp_path / "large.bin", 64 * MEBIBYTE
    np.ones(size // 8).tofile(path)
    with udfvm.Pool(size=4) as pool:

        @udfvm.udf(data={"large": path}, pool=pool, timeout=None)
        def total(reads: bool) -> float:
            array = np.memmap("/data/large", "f8", "r")
            return float(array[:: 512 if reads else len(array)].sum())

        image_pool, image = (runtime := total._calls.current()).pool, runtime.image
        total(False)

        def in_all(reads: bool) -> None:
            vms = [image_pool.take(image) for _ in range(4)]
            try:
                for vm in vms:
                    request = total._calls.codecs.rows.encode([reads])  # type: ignore[union-attr]
                    assert vm.call(udfvm.protocol.REQUEST_ROW, request, runtime.limits).status == 0
            finally:
                for vm in vms:
                    image_pool.give(vm)

        in_all(False)
        before = anonymous_memory()
        in_all(True)
        assert len(mapped := mappings_of(path)) == 1
        assert mapped[0] >= size // 2  # what the VMs read is here, once
        assert anonymous_memory() - before < size // 2


def test_functions_share_mappings_which_go_with_the_last(pool: udfvm.Pool, model: Path) -> None:
    def first(at: int) -> float:
        return float(np.memmap("/data/model", "f8", "r")[at])

    def second(at: int) -> int:
        return len(np.memmap("/data/model", "f8", "r"))

    one = udfvm.udf(first, data={"model": model}, pool=pool)
    other = udfvm.udf(second, data={"model": str(model)}, pool=pool)
    assert (one(1), other(1)) == (1.0, 100_000)
    assert one._calls.current().pool is other._calls.current().pool
    assert len(mappings_of(model)) == 1
    open_files = len(os.listdir("/proc/self/fd"))
    del one, other
    assert not mappings_of(model)
    assert len(os.listdir("/proc/self/fd")) < open_files
