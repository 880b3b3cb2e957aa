"""What a call wrote, anywhere, the next call cannot read. Each test attacks one place."""

from __future__ import annotations

import ctypes
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm.limits import WINDOW

MARK = 0x5EC2E7F00D5EC2E7

_global: list[int] = []


@udfvm.udf
def in_a_global(x: int) -> int:
    _global.append(x)
    return len(_global)


def _remembers(x: int, seen: list[int] = []) -> int:  # noqa: B006 - the point of the test
    seen.append(x)
    return len(seen)


@udfvm.udf
def in_a_default(x: int) -> int:
    return _remembers(x)


@udfvm.udf
def in_an_attribute(x: int) -> int:
    import json

    json.seen = getattr(json, "seen", 0) + 1  # type: ignore[attr-defined]
    return int(json.seen)  # type: ignore[attr-defined]


@udfvm.udf
def in_a_file(x: int) -> int:
    path = Path(tempfile.gettempdir()) / "left"
    seen = int(path.read_text()) if path.exists() else 0
    path.write_text(str(seen + 1))
    return seen + 1


@udfvm.udf
def in_the_environment(x: int) -> int:
    seen = int(os.environ.get("LEFT", "0")) + (os.getcwd() == "/tmp") + 1
    os.environ["LEFT"] = str(seen)
    os.chdir("/tmp")
    return seen


@udfvm.udf
def in_a_descriptor(x: int) -> int:
    open(os.devnull)  # noqa: SIM115 - left open
    return os.dup(0) - len(os.listdir("/proc/self/fd")) + 1


@udfvm.udf
def in_a_signal_handler(x: int) -> int:
    import signal

    before = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return 1 if before == signal.SIG_DFL else 2


@udfvm.udf
def in_the_output_window(x: int) -> int:
    place = ctypes.c_uint64.from_address(0x5000000000 + (40 << 20))
    seen = place.value
    place.value = seen + 1
    return seen + 1


@udfvm.udf
def on_the_heap(x: int) -> int:
    place = ctypes.c_uint64.from_address((200 << 20) + 8)  # memory that no allocation has reached
    seen = place.value
    place.value = seen + 1
    return seen + 1


@pytest.mark.parametrize(
    "function",
    [
        in_a_global,
        in_a_default,
        in_an_attribute,
        in_a_file,
        in_the_environment,
        in_a_signal_handler,
        in_the_output_window,
        on_the_heap,
    ],
    ids=lambda function: function.name,
)
def test_what_a_call_leaves_is_gone(function: Callable[[int], int]) -> None:
    assert [function(7) for _ in range(4)] == [1, 1, 1, 1]


def test_open_files_are_gone() -> None:
    assert len({in_a_descriptor(1) for _ in range(4)}) == 1


@udfvm.udf
def registers(code: bytes, write: bool) -> bytes:
    """Runs machine code that stores to, or loads from, 64 bytes whose address is in RDI."""
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, mmap

    page = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC)
    page.write(code)
    data = (ctypes.c_uint64 * 8)(*([0x5EC2E7F00D5EC2E7] * 8 if write else [0] * 8))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    run(ctypes.addressof(data))
    return bytes(data)


@pytest.mark.parametrize(
    ("load", "store"),
    [
        (b"\xc5\x7e\x6f\x3f", b"\xc5\x7e\x7f\x3f"),  # vmovdqu ymm15, [rdi]; vmovdqu [rdi], ymm15
        (b"\xdf\x2f", b"\xdd\x3f"),  # fild qword [rdi]; fnstsw [rdi]: the stack's top
        (b"\x4c\x8b\x1f", b"\x4c\x89\x1f"),  # mov r11, [rdi]; mov [rdi], r11
        (b"\x0f\x6f\x3f", b"\x0f\x7f\x3f"),  # movq mm7, [rdi]; movq [rdi], mm7
    ],
    ids=["ymm15", "x87", "r11", "mm7"],
)
def test_registers_are_restored(load: bytes, store: bytes) -> None:
    before = registers(store + b"\xc3", False)
    assert before == registers(store + b"\xc3", False)
    registers(load + b"\xc3", True)
    assert registers(store + b"\xc3", False) == before
    assert MARK.to_bytes(8, "little") not in before


@udfvm.udf
def thread_base(code: bytes) -> int:
    """FS base, read by machine code."""
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, mmap

    page = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC)
    page.write(code)
    return int(
        ctypes.CFUNCTYPE(ctypes.c_int64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    )


def test_segment_bases_are_restored() -> None:
    read_gs, write_gs = (
        b"\xf3\x48\x0f\xae\xc8\xc3",
        b"\x48\xb8\0\0\x66\0\0\0\0\0\xf3\x48\x0f\xae\xd8\xc3",
    )
    before = thread_base(read_gs)
    thread_base(write_gs)
    assert thread_base(read_gs) == before


@udfvm.udf
def input_tail(text: bytes) -> int:
    """How many bytes behind the request are not zero."""
    window = (ctypes.c_char * (1 << 20)).from_address(0x4000001000)
    return sum(byte != 0 for byte in bytes(window)[4096:])


def test_the_input_of_an_earlier_call_is_gone() -> None:
    assert input_tail(b"\xee" * 500_000) > 100_000
    assert input_tail(b"x") == 0


@udfvm.udf
def fills(mark: bytes) -> int:
    hoard = [mark * 1000 for _ in range(200)]
    ctypes.memset(0x5000000000 + (1 << 20), mark[0], 1 << 20)
    return len(hoard)


@udfvm.udf
def searches(mark: bytes) -> int:
    """Copies of the bytes, xor 0xff, in all of memory and the output window, but for the one that
    it searches with. Its argument is their complement, so as not to find that.
    """
    wanted = (ctypes.c_uint8 * len(mark))()
    for index, byte in enumerate(mark):  # one by one, so that there is no other copy
        wanted[index] = byte ^ 0xFF
    search = ctypes.CDLL(None).memmem
    search.restype = ctypes.c_void_p
    search.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
    found = 0
    stack = (512 - 8) << 20
    guard = stack - (256 << 10)
    for start, end in ((0x200000, guard), (stack, stack + (8 << 20)), (0x5000000000, 0x5000200000)):
        at = start
        while hit := search(at, end - at, wanted, len(mark)):
            found += hit != ctypes.addressof(wanted)
            at = hit + 1
    return found


def test_a_function_never_finds_what_another_left() -> None:
    mark = os.urandom(12)
    hidden = bytes(byte ^ 0xFF for byte in mark)
    assert searches(bytes(byte ^ 0xFF for byte in b"udfvm_agent")) > 0  # it finds what is there
    for _ in range(2):
        fills(mark)
        assert searches(hidden) == 0


_BLOCK = 500_000  # numbers: 4 MB
_WINDOW = WINDOW
_ENDS = ["return", "raise", "loop", "crash"]
_ERRORS = {
    "raise": (udfvm.UDFError, "RuntimeError: raise"),
    "loop": (udfvm.CallTimeoutError, "1 s"),
    "crash": (udfvm.GuestCrashError, "signal|SIGSEGV"),
}  # fmt: skip


@udfvm.udf(vectorized=True, input_types=["int64", "int64"], output_type="int64", timeout=1)
def hoards(marks: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Leaves the mark in large blocks: live, freed, in the output window, in the result; and ends
    in some way.
    """
    import ctypes

    kept = [np.full(_BLOCK, marks[0]) for _ in range(3)]
    del kept[1]
    for place in (4 << 20, _WINDOW - kept[0].nbytes):
        ctypes.memmove(0x5000000000 + place, kept[0].ctypes.data, kept[0].nbytes)
    end = _ENDS[ends[0]]
    if end == "raise":
        raise RuntimeError(end)
    while end == "loop":
        kept[0] += 0
    if end == "crash":
        ctypes.string_at(8)
    return np.full(len(marks), marks[0])


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64")
def looks(hidden: np.ndarray) -> np.ndarray:
    """How often the mark, whose complement it is given, is in memory that it has not written: large
    blocks and the output window.
    """
    import ctypes

    blocks = [np.empty(_BLOCK, np.int64) for _ in range(4)]
    blocks += [
        np.frombuffer((ctypes.c_char * (8 << 20)).from_address(0x5000000000 + place))
        for place in (4 << 20, _WINDOW - (8 << 20))
    ]
    return np.full(
        len(hidden),
        sum(int(np.count_nonzero(block.view(np.int64) == ~hidden[0])) for block in blocks),
    )


@pytest.mark.parametrize("rows", [3, _BLOCK])
@pytest.mark.parametrize("end", _ENDS)
def test_large_blocks_of_a_call_are_gone(end: str, rows: int) -> None:
    marks, ends = (
        np.full(rows, int.from_bytes(os.urandom(7), "little")),
        np.full(rows, _ENDS.index(end)),
    )
    if end in _ERRORS:
        error, message = _ERRORS[end]
        with pytest.raises(error, match=message):
            hoards(marks, ends)
    else:
        assert hoards(marks, ends)[-1] == marks[0]
    for _ in range(2):
        assert not looks(~marks).any()


@udfvm.udf
def chance() -> bytes:
    return random.randbytes(8) + os.urandom(8)


@udfvm.udf(deterministic=True)
def fixed_chance() -> bytes:
    import time

    return random.randbytes(8) + os.urandom(8) + str(time.time()).encode()


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="double")
def numpy_chance(x: np.ndarray) -> np.ndarray:
    return np.random.random(len(x))


def test_each_call_has_randomness_of_its_own() -> None:
    assert len({chance() for _ in range(50)}) == 50
    assert (
        len({chance()[:8] for _ in range(50)}) == 50
        and len({chance()[8:] for _ in range(50)}) == 50
    )
    assert len({float(numpy_chance(np.arange(3))[0]) for _ in range(20)}) == 20


def test_a_deterministic_function_has_none() -> None:
    assert len({fixed_chance() for _ in range(20)}) == 1


@udfvm.udf(timeout=0.2, log="strict")
def misbehaves(how: str) -> int:
    _global.append(1)
    if how == "raise":
        raise RuntimeError(how)
    if how == "loop":
        while True:
            pass
    if how == "crash":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(7)
    if how == "log":
        print("x" * 1_000_000)
    if how == "abort":
        os.abort()
    return len(_global)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raise", udfvm.UDFError),
        ("loop", udfvm.CallTimeoutError),
        ("crash", udfvm.GuestCrashError),
        ("exit", udfvm.GuestExitError),
        ("log", udfvm.LogLimitError),
        ("abort", udfvm.GuestCrashError),
    ],
)
def test_after_a_failure_the_next_call_is_fresh(how: str, error: type[Exception]) -> None:
    for _ in range(3):
        with pytest.raises(error, match="misbehaves"):
            misbehaves(how)
        assert misbehaves("well") == 1


def _resources() -> tuple[int, int, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * 4096,
        len(os.listdir("/proc/self/fd")),
        Path("/proc/self/maps").read_text().count("\n"),
    )


def test_ten_thousand_calls_do_not_grow_the_process() -> None:
    for _ in range(1000):
        in_a_global(1)
    memory, descriptors, mappings = _resources()
    for _ in range(10_000):
        assert in_a_global(1) == 1
    memory_after, descriptors_after, mappings_after = _resources()
    # Idle VMs of earlier tests may go meanwhile: fewer are no growth.
    assert descriptors_after <= descriptors and mappings_after <= mappings + 2
    assert memory_after - memory < 8 << 20


def test_batches_are_fresh_too() -> None:
    column = pa.array([1, 2, 3])
    for _ in range(3):
        assert in_a_global(column).to_pylist() == [1, 2, 3]


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def fills_large_blocks(x: np.ndarray) -> np.ndarray:
    blocks = [np.full(len(x), MARK, dtype=np.int64) for _ in range(4)]
    return blocks[-1].view(np.float64) + 0 * x


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def finds_in_large_blocks(x: np.ndarray) -> np.ndarray:
    """How often the mark is anywhere in the output window past its first 2 MiB, and in scratch."""
    call = (ctypes.c_uint64 * 14).from_address(0x4000000000)
    start, end = 0x5000200000, call[13]
    words = np.frombuffer((ctypes.c_char * (end - start)).from_address(start), dtype=np.int64)
    found = sum(int((words[at : at + 65536] == MARK).sum()) for at in range(0, len(words), 65536))
    return np.full(len(x), float(found))


def test_large_blocks_are_gone() -> None:
    large, small = np.zeros(500_000), np.zeros(1)
    assert len(fills_large_blocks(large)) == len(large)
    for _ in range(3):
        assert finds_in_large_blocks(small)[0] == 0
        assert len(fills_large_blocks(large)) == len(large)
    kept = [fills_large_blocks(large) for _ in range(6)]  # more than are lent
    assert all(np.array_equal(each.view(np.int64), kept[0].view(np.int64)) for each in kept)
    del kept
    assert finds_in_large_blocks(small)[0] == 0


def test_results_in_use_are_not_written_to() -> None:
    """A large result is the memory of the VM that computed it."""
    results = [in_place(np.full(300_000, float(index))) for index in range(8)]
    for index, result in enumerate(results):
        assert result.flags.writeable
        assert (result == 2.0 * index).all()
    results[3][:] = 7
    assert (results[4] == 8).all()


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def in_place(x: np.ndarray) -> np.ndarray:
    return x * 2
