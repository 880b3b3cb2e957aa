"""What the host writes in guest memory, no other function reads, at whatever step the writing ends.

Each way in is taken again and again, and an exception is raised at the first line of the host's
Python code, then at the second, and so on until one time it is not reached. After each a spy, a
function of another user on the same micro-VM (the pool has one), searches its memory for what the
call had been given.
"""

from __future__ import annotations

import ast
import codecs
import ctypes
import gc
import itertools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite
from udfvm.sqlite.policy import STANDARD_MODULES

MARK = b"\x8e=written by the host=\x8e\0"  # of 24 bytes, three numbers
HIDDEN = bytes(byte ^ 0xFF for byte in MARK)
NUMBERS = np.frombuffer(MARK, np.int64)
TEXT = MARK[1:-2].decode()
POOL = udfvm.Pool(size=1, wait=20)
# One base image for all, or they would not share a micro-VM.
PACKAGES = [
    *STANDARD_MODULES,
    "numpy",
    "pyarrow",
]
HOST_CODE = str(Path(udfvm.__file__).parent)


@udfvm.udf(pool=POOL, packages=PACKAGES)
def spies(mark: bytes, everywhere: bool, planted: int = -1) -> int:
    """Copies of the bytes, xor 0xff, in what the host writes to: the input window past this
    request, the output window; or in all memory.

    Its argument is the complement of what it looks for, so as not to find that. It plants a copy
    itself at the end of the area ``planted``.
    """
    wanted = (ctypes.c_uint8 * len(mark))()
    for index, byte in enumerate(mark):
        wanted[index] = byte ^ 0xFF
    search = ctypes.CDLL(None).memmem
    search.restype = ctypes.c_void_p
    search.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
    areas = [(0x4000001000, 0x4000000000 + (128 << 20)), (0x5000000000, 0x5000200000)]
    if everywhere:
        # What is past the narrow part of the window can be reached from now on.
        block = np.zeros(8 << 20, np.uint8)
        stack = (512 - 8) << 20
        areas += [
            (0x200000, stack - (256 << 10)),
            (stack, stack + (8 << 20)),
            (0x5000200000, 0x5000000000 + (128 << 20)),
            (block.ctypes.data, block.ctypes.data + block.nbytes),
        ]
    if planted >= 0:
        ctypes.memmove(areas[planted][1] - 4096, wanted, len(mark))
    found = 0
    for start, end in areas:
        at = start
        while hit := search(at, end - at, wanted, len(mark)):
            found += hit != ctypes.addressof(wanted)
            at = hit + 1
    return found


class Stopped(BaseException):
    """Raised where a test wants it."""


def _stopped_at_each_step(call: Callable[[], object], check: Callable[[], None]) -> int:
    """Makes the call with an exception at the first line of the host's code, then at the second,
    and so on. Returns how many there are.
    """
    for step in itertools.count():
        lines = itertools.count()
        reached = False

        def local(frame: FrameType, event: str, _: object) -> Any:
            nonlocal reached
            if event == "line" and not reached and next(lines) == step:  # noqa: B023 - used before the next turn
                reached = True
                raise Stopped
            return local

        sys.settrace(
            lambda frame, event, _: local if _is_stopped_in(frame.f_code.co_filename) else None
        )
        try:
            call()
        except Stopped:
            pass
        except (udfvm.Error, apsw.Error):
            assert reached  # an exception in what the core calls ends the call in another way
        finally:
            sys.settrace(None)
        check()
        if not reached:
            return step
    raise AssertionError


def _is_stopped_in(filename: str) -> bool:
    """Not where locks are held: a line of Python's trace lies between the body of a ``with`` and
    its end.
    """
    return filename.startswith(HOST_CODE) and not filename.endswith("udfvm/call/pool.py")


def _nothing_is_left() -> None:
    assert spies(HIDDEN, False) == 0


@pytest.mark.parametrize(
    "area", ["output window", "program", "stack", "rest of the output window", "scratch"]
)
def test_the_spy_finds_what_is_in_its_memory(area: str) -> None:
    place = [
        "input window",
        "output window",
        "program",
        "stack",
        "rest of the output window",
        "scratch",
    ].index(area)
    before = spies(HIDDEN, True)
    assert spies(HIDDEN, True, place) == before + 1
    assert spies(HIDDEN, True) == before


def test_the_spy_finds_what_a_host_left() -> None:
    """A host that writes to a window behind the back of the core, between two calls: what must
    never happen is seen.
    """
    runtime, vm = spies._calls.take_vm()
    window = ctypes.addressof(ctypes.c_char.from_buffer(vm.input(1 << 20)))
    runtime.pool.give(vm)
    _nothing_is_left()
    for place in (4096, 500_001, (1 << 20) - len(MARK)):
        ctypes.memmove(window + place, MARK, len(MARK))
        assert spies(HIDDEN, False) == 1
        assert spies(HIDDEN, True) == 1
        ctypes.memset(window + place, 0, len(MARK))
        _nothing_is_left()


@pytest.fixture(autouse=True)
def nothing_is_left_anywhere() -> Iterator[None]:
    """Whatever a test did, in the end the mark is nowhere, and the spy would see it."""
    spies(HIDDEN, False)
    yield
    gc.collect()
    assert spies(HIDDEN, True) == 0
    assert spies(bytes(byte ^ 0xFF for byte in b"udfvm_agent"), True) > 0


# ---- Requests ----


@udfvm.udf(pool=POOL, packages=PACKAGES)
def of_text(text: str, blob: bytes, number: int | None) -> int:
    return len(text) + len(blob)


@udfvm.udf(
    vectorized=True,
    input_types=["int64", "int8"],
    output_type="int64",
    pool=POOL,
    packages=PACKAGES,
)
def of_numbers(numbers: np.ndarray, small: np.ndarray) -> np.ndarray:
    return numbers + small


@udfvm.udf(
    vectorized=True,
    input_types=["string", "int64"],
    output_type="string",
    pool=POOL,
    packages=PACKAGES,
)
def of_strings(texts: pa.Array, numbers: pa.Array) -> pa.Array:
    return texts


NESTED = pa.list_(pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))]))


@udfvm.udf(input_types=[NESTED], output_type="int64", pool=POOL, packages=PACKAGES)
def of_nested(values):  # type: ignore[no-untyped-def]
    return len(values)


@udfvm.table_function(columns={"text": str}, packages=PACKAGES)
def rows_of_text(text: str, count: int) -> Iterator[tuple[str]]:
    for _ in range(count):
        yield (text,)


@udfvm.aggregate(packages=PACKAGES)
class Longest:
    def __init__(self) -> None:
        self.longest = ""

    def step(self, text: str, number: int) -> None:
        self.longest = max(self.longest, text, key=len)

    def finish(self) -> str:
        return self.longest


def _numbers(rows: int) -> np.ndarray:
    return np.tile(NUMBERS, rows // 3)


rows_of_text.pool = Longest.pool = POOL


def _refused(udf: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(udfvm.TypeMappingError):
        udf(*arguments)


LARGE = 60_000  # rows of a batch that no short way is for
WAYS: dict[str, Callable[[], object]] = {
    "row": lambda: of_text(TEXT, MARK * 50, 3),
    "row, one argument wrong": lambda: _refused(of_text, TEXT, MARK, "no number"),
    "batch, one argument wrong": lambda: _refused(
        of_strings, pa.array([TEXT] * 100), pa.array(["no number"] * 100)
    ),
    "small numpy": lambda: of_numbers(_numbers(300), np.zeros(300, np.int8)),
    "numpy": lambda: of_numbers(_numbers(LARGE), np.zeros(LARGE, np.int8)),
    "pyarrow numbers": lambda: of_numbers(
        pa.chunked_array([_numbers(300), _numbers(3)]), pa.array(np.zeros(303, np.int8))
    ),
    "numbers with nulls": lambda: of_numbers(
        pa.array([*NUMBERS.tolist(), None]), pa.array([1, 2, 3, 4], pa.int8())
    ),
    "strings": lambda: of_strings(pa.array([TEXT] * 100), pa.array(np.arange(100))),
    "nested": lambda: of_nested(pa.array([[{"a": TEXT, "b": NUMBERS.tolist()}] * 9] * 9, NESTED)),
    "table function": lambda: list(rows_of_text(TEXT, 200)),
    "aggregate": lambda: Longest(pa.array([TEXT] * 500), pa.array(np.arange(500))),
}


def test_all_functions_share_a_micro_vm() -> None:
    functions = [value for value in globals().values() if isinstance(value, udfvm.Function)]
    assert len(functions) > 10
    assert {function.image.base.digest for function in functions} == {spies.image.base.digest}
    assert all(function.pool is POOL for function in functions)


@pytest.mark.parametrize("way", WAYS)
def test_requests(way: str) -> None:
    WAYS[way]()  # the image is built, modules are imported
    assert _stopped_at_each_step(WAYS[way], _nothing_is_left) > 5


@pytest.mark.parametrize("way", ["numpy", "pyarrow numbers", "strings", "nested"])
def test_every_byte_of_a_request_is_written(way: str) -> None:
    """Padding too: else it is what an earlier request had there."""
    seen: list[bytes] = []
    udf = {
        "numpy": of_numbers,
        "pyarrow numbers": of_numbers,
        "strings": of_strings,
        "nested": of_nested,
    }[way]
    pool = udf.prepare()._calls.take_vm()[0].pool  # that VM goes back as it is forgotten
    call = pool.call_and_give

    def looks(vm: Any, request: int, length: int, *rest: Any) -> Any:
        seen.append(bytes(vm.input(length)))
        return call(vm, request, length, *rest)

    arguments = {
        "numpy": (np.arange(30_001), np.zeros(30_001, np.int8)),
        "pyarrow numbers": (pa.array(np.arange(13)), pa.array(np.zeros(13, np.int8))),
        "strings": (pa.array(["a", None, "bcd"]), pa.array([1, None, 3])),
        "nested": (pa.array([[{"a": "x", "b": [1, None]}], None, []], NESTED),),
    }
    pool.call_and_give = looks  # type: ignore[method-assign]
    of_text("", b"\x8e" * 4_000_000, None)  # what is in the window
    try:
        udf(*arguments[way])
    finally:
        del pool.call_and_give  # type: ignore[method-assign]
    assert seen and all(b"\x8e\x8e" not in request for request in seen)


def test_batches_that_do_not_fit() -> None:
    texts = pa.array([TEXT * 1000, "x" * (200 << 20)])
    with pytest.raises(udfvm.Error):
        udfvm.udf(
            vectorized=True, input_types=["string"], output_type="int64", pool=POOL, memory="64MiB"
        )(_ends)(texts)
    _nothing_is_left()


def _ends(texts: pa.Array) -> pa.Array:
    raise SystemExit


# ---- Signals ----


def test_signals_while_a_batch_is_written() -> None:
    marks, zeros = np.tile(NUMBERS, 1_000_000), np.zeros(3_000_000, np.int8)
    of_numbers(marks, zeros)
    end = time.monotonic() + 4
    stopped = 0

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for turn in itertools.count():
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0007 * (turn % 40))
                of_numbers(marks, zeros)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stopped:
                stopped += 1
            _nothing_is_left()
            if stopped > 3 and time.monotonic() > end:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- Replies that are lent ----


@udfvm.udf(
    vectorized=True, input_types=["int64"], output_type="int64", pool=POOL, packages=PACKAGES
)
def echoes(numbers: np.ndarray) -> np.ndarray:
    return numbers.copy()


LENDING = udfvm.Pool(size=2)


def _lent() -> tuple[np.ndarray, Callable[[], int]]:
    """A result that is the memory of one of two micro-VMs, and how often the mark is in theirs."""
    lazy = udfvm.udf(
        vectorized=True, input_types=["int64"], output_type="int64", pool=LENDING, packages=PACKAGES
    )(_only_says_so)
    looks = udfvm.udf(pool=LENDING, packages=PACKAGES)(spies.function)

    def found() -> int:
        gc.collect()
        runtime, first = looks._calls.take_vm()  # both VMs
        try:
            one = looks(HIDDEN, True)
        finally:
            runtime.pool.give(first)
        return int(one + looks(HIDDEN, True))

    rows = 200_000
    codec = lazy._calls.codecs.batches
    layout = codec.number_replies().layout(rows)  # type: ignore[union-attr]
    words = np.frombuffer(layout.head.ljust(-(-len(layout.head) // 8) * 8, b"\0"), np.int64)
    request = np.zeros(rows, np.int64)
    request[0], request[1], request[2 : 2 + len(words)] = len(layout.head), layout.length, words
    found()
    return lazy(request), found


def _only_says_so(numbers: np.ndarray) -> np.ndarray:
    """Completes with the head of a reply and whatever is behind it."""
    import ctypes

    head, length = int(numbers[0]), int(numbers[1])
    ctypes.memmove(0x5000000000, numbers[2:].ctypes.data, head)
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(0x200040)(0, length)
    return numbers


def _fill(result: np.ndarray) -> None:
    result.view(np.uint8)[:] = np.tile(
        np.frombuffer(MARK, np.uint8), result.nbytes // len(MARK) + 1
    )[: result.nbytes]


@pytest.mark.parametrize("lasts", ["dropped", "past its pool", "forked"])
def test_results_that_are_lent(lasts: str) -> None:
    result, found = _lent()
    assert result.flags.writeable and not result.flags.owndata and not result.any()
    _fill(result)
    if lasts == "past its pool":
        LENDING.trim(0)
    if lasts == "forked":
        child = os.fork()
        if child == 0:
            seen = bytes(result.view(np.uint8)[: len(MARK)]) == MARK
            result[:] = 1
            del result
            os._exit(not seen)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert result.tobytes()[: len(MARK)] == MARK  # the child wrote to a copy
    view = result[5:9]
    del result
    assert bytes(view.view(np.uint8)[8:32]) == MARK  # what is viewed stays
    del view
    assert [found() for _ in range(3)] == [0, 0, 0]


def test_results_that_are_kept_cost_their_own_size() -> None:
    kept = [echoes(np.arange(65_536)) for _ in range(3)]
    begin = _resident()
    kept += [echoes(np.arange(65_536)) for _ in range(40)]
    assert _resident() - begin < 80 << 20  # of 20 MiB
    assert all((result == np.arange(65_536)).all() for result in kept)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_replies_are_read_only_until_they_are_lent() -> None:
    runtime, vm = echoes._calls.take_vm()
    reply = vm.call(
        4,
        echoes._calls.codecs.batches.stream(echoes._calls.codecs.batches.null_and_zero()),
        runtime.limits,
    )
    assert reply.data.readonly
    runtime.pool.give(vm)


# ---- Host functions and files ----


def fetched(key: str) -> bytes:
    return MARK * 100


@udfvm.udf(pool=POOL, packages=PACKAGES, host_functions=[fetched])
def fetches(key: str) -> int:
    return len(fetched(key))


def raising(key: str) -> bytes:
    raise Stopped


@udfvm.udf(pool=POOL, packages=PACKAGES, host_functions=[raising])
def fails(key: str) -> int:
    return len(raising(key * 100))


@udfvm.udf(pool=POOL, packages=PACKAGES)
def reads(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read())


# Stopped before the call is made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_host_functions() -> None:
    assert fetches("x") == 100 * len(MARK)
    assert _stopped_at_each_step(lambda: fetches(TEXT), _nothing_is_left) > 5
    for _ in range(3):
        with pytest.raises(Stopped):
            fails(TEXT)
        _nothing_is_left()


def test_files() -> None:
    import this

    path, text = this.__file__, codecs.encode("Now is better than never.", "rot13").encode()
    assert path is not None and reads(path) == Path(path).stat().st_size
    hidden = bytes(byte ^ 0xFF for byte in text)

    def nothing_is_left() -> None:
        assert spies(hidden, False) == 0

    assert _stopped_at_each_step(lambda: reads(path), nothing_is_left) > 5
    assert spies(hidden, True) == 0


# ---- SQL ----


@udfvm.udf(pool=POOL, packages=PACKAGES, isolation="row")
def in_rows(text: str, other: str) -> int:
    return len(text) + len(other)


@udfvm.udf(pool=POOL, packages=PACKAGES)
def in_statements(text: str, other: str) -> int:
    return len(text) + len(other)


@udfvm.table_function(columns={"word": str}, packages=PACKAGES)
def words(text: str, other: str) -> Iterator[tuple[str]]:
    for word in (text, other):
        yield (word,)


@udfvm.aggregate(name="joined", packages=PACKAGES)
class Joined:
    def __init__(self) -> None:
        self.size = 0

    def step(self, text: str, other: str) -> None:
        self.size += len(text) + len(other)

    def finish(self) -> int:
        return self.size


words.pool = Joined.pool = POOL
BAD = "cast(x'ff' as text)"
MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
STATEMENTS = {
    "row, bad": f"SELECT in_rows(?1, {BAD})",
    "row, bad later": f"{MANY} SELECT in_rows(?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n",
    "row, too large": "SELECT in_rows(?1, CAST(zeroblob(150000000) AS TEXT))",
    "row": "SELECT in_rows(?1, 'x')",
    "statement, bad": f"SELECT in_statements(?1, {BAD})",
    "statement, bad later": (
        f"{MANY} SELECT in_statements(?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n"
    ),
    "statement, streamed": f"{MANY} SELECT in_statements(?1, i || 'x') FROM n",
    "statement, left early": f"{MANY} SELECT in_statements(?1, i || 'x') FROM n LIMIT 50",
    "vm_udf, wrong type": "SELECT vm_udf('in_statements', ?1, 7)",
    "vm_map": (
        f"SELECT * FROM vm_map('in_statements', '{MANY} SELECT i, ?1, i || ''x'' FROM n', ?1)"
    ),
    "vm_map, bad": (
        f"SELECT * FROM vm_map('in_statements', '{MANY} SELECT i, ?1,"
        f" {BAD.replace(chr(39), chr(39) * 2)} FROM n', ?1)"
    ),
    "vm_table": "SELECT * FROM vm_table('words', ?1, 'y')",
    "vm_table, bad": f"SELECT * FROM vm_table('words', ?1, {BAD})",
    "vm_agg": f"{MANY} SELECT vm_agg('joined', ?1, i || 'x') FROM n",
    "vm_agg, bad": (
        f"{MANY} SELECT vm_agg('joined', ?1, CASE i WHEN 60 THEN {BAD} ELSE 'x' END) FROM n"
    ),
}


def _connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, in_rows, in_statements, words, Joined)
    return connection


@pytest.mark.parametrize("name", STATEMENTS)
def test_sql(name: str) -> None:
    connection = _connection()
    for size in (1, 40, 40_000):
        try:
            rows = connection.execute(STATEMENTS[name], (TEXT * size,)).fetchall()
            assert rows and "bad" not in name
        except apsw.SQLError as error:
            assert (
                "UTF-8" in str(error)
                or "does not fit" in str(error)
                or "expected TEXT" in str(error)
            ), error
        _nothing_is_left()
    connection.close()


@pytest.mark.parametrize("name", ["row", "statement, streamed", "vm_map", "vm_table", "vm_agg"])
def test_sql_that_is_interrupted(name: str) -> None:
    """At each call of the progress handler, which raises."""
    for count in itertools.count(1):
        connection = _connection()
        calls = itertools.count(1)

        def progress() -> bool:
            return next(calls) == count  # noqa: B023 - used before the next turn

        connection.set_progress_handler(progress, 20)
        try:
            connection.execute(STATEMENTS[name], (TEXT * 40,)).fetchall()
            ended = True
        except apsw.InterruptError:
            ended = False
        connection.close()
        _nothing_is_left()
        if ended or count > 60:
            break


def test_stored_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udfvm.Pool, "default", lambda: POOL)
    bases = len(POOL._list())
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        in_rows,
        policy=udfvm.sqlite.Policy(languages=["python"], packages=PACKAGES, allow_create=True),
    )
    assert len(POOL._list()) == bases  # it is loaded on the spy's micro-VM
    source = f"def kept(x): return x\nTEXT = {TEXT * 1000!r}\n"
    broken = f"TEXT = {TEXT * 1000!r}\nraise ValueError(1)\n"
    connection.execute(
        "SELECT vm_create('kept', 'python', ?, '(int) -> int')", (source,)
    ).fetchall()
    assert connection.execute("SELECT vm_udf('kept', 7)").fetchall() == [(7,)]
    with pytest.raises(apsw.SQLError):
        connection.execute(
            "SELECT vm_create('broken', 'python', ?, '(int) -> int')", (broken,)
        ).fetchall()
    connection.close()
    _nothing_is_left()


def test_threads_and_signals_lose_no_vm() -> None:
    """The pool has one: had any test lost it, nothing could be called any more."""
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(of_text("ab", b"c", None))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [3] * 8


# ---- All of the host's writers ----

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for pattern in ("*.[ch]", "*.py")
    for path in (ROOT / "udfvm").rglob(pattern)
    if not path.name.startswith("_core") and "_guest" not in path.parts
]
SPAN = ROOT / "udfvm" / "vmm" / "core" / "memory" / "span.c"


def test_the_list_of_writers_is_complete() -> None:
    asks = re.compile(
        r"\b(?:udfvm_span_(?:at|call_page|send|load)|udfvm_vm_input|udfvm_vm_borrow)\([^)]"
    )
    headers = {path for path in SOURCES if path.suffix == ".h"}
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path not in headers | {SPAN} and asks.search(path.read_text())
    }
    section = (
        (ROOT / "docs" / "security.md")
        .read_text()
        .split("## Who writes in guest memory")[1]
        .split("\n## ")[0]
    )
    assert found == set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


def test_nothing_else_has_a_pointer_to_write_with() -> None:
    """The compiler refuses to take a const away, but for the detour through an integer."""
    machine = re.search(
        r"^struct machine \{.*?^\};",
        (ROOT / "udfvm" / "vmm" / "core" / "internal.h").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    assert machine is not None
    for name in ("memory", "output", "wide", "input"):
        assert re.search(rf"const uint8_t \*{name};", machine[0])
    assert "const_flags = ['-Wcast-qual']\n" in (ROOT / "meson.build").read_text()
    for folder in ("udfvm/vmm/core", "udfvm/sqlite/src", "udfvm/call"):
        flags = re.findall(r"c_args: \[(.*)\]", (ROOT / folder / "meson.build").read_text())
        assert flags and all("const_flags" in found for found in flags)
    detours = {}
    for path in SOURCES:
        if path.suffix == ".c" and (
            lines := re.findall(
                r"\((?!const)[^()]*\*\) *\((?:uintptr_t|uint64_t|size_t)\).*", path.read_text()
            )
        ):
            detours[path.name] = lines
    detours.pop("fast_path.c")  # addresses of the core's objects, which Python has as numbers
    # span.c: the way to write; machine.c, image.c, holes.c: mappings, which are made and unmapped,
    # and the host's own system area
    assert {name: len(lines) for name, lines in detours.items()} == {
        "span.c": 1,
        "machine.c": 3,
        "image.c": 1,
        "holes.c": 1,
    }


def test_python_views_guest_memory_in_known_places() -> None:
    """``ffi.buffer`` gives views that can be written to, whatever they show."""
    found: set[str] = set()
    for path in (path for path in SOURCES if path.suffix == ".py"):
        for function in (
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
        ):
            body = ast.unparse(function)
            views = re.findall(r"(\w+)?\(?ffi\.buffer\(([^()]*)\)\)?(\.toreadonly\(\))?", body)
            if any(
                before not in ("bytes", "visible", "copied") and not readonly
                for before, _, readonly in views
            ):
                found.add(function.name)
    assert found == {
        "input", "borrow",                                    # marked by the core
        # called by the core with memory that is marked
        "udfvm_python_read", "udfvm_python_list",
        "_taken_reply",                                       # the host's own memory
    }  # fmt: skip
