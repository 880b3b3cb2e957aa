"""The next call cannot read what a call wrote; each test attacks one way."""

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
from udfvm.protocol import (
    INPUT_PAYLOAD,
    KERNEL_BASE,
    LOGGED_OUTPUT,
    OUTPUT_BASE,
    PAGE_SIZE,
    STACK_GUARD,
)

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
    word = ctypes.c_uint64.from_address(OUTPUT_BASE + (40 << 20))
    seen = word.value
    word.value = seen + 1
    return seen + 1


@udfvm.udf
def on_the_heap(x: int) -> int:
    word = ctypes.c_uint64.from_address((200 << 20) + 8)  # memory that no allocation has reached
    seen = word.value
    word.value = seen + 1
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
def input_tail(text: bytes) -> int:
    """How many bytes behind the request are not zero."""
    window = (ctypes.c_char * (1 << 20)).from_address(INPUT_PAYLOAD)
    return sum(byte != 0 for byte in bytes(window)[PAGE_SIZE:])


def test_the_input_of_an_earlier_call_is_gone() -> None:
    assert input_tail(b"\xee" * 500_000) > 100_000
    assert input_tail(b"x") == 0


@udfvm.udf
def fills(mark: bytes) -> int:
    hoard = [mark * 1000 for _ in range(200)]
    ctypes.memset(OUTPUT_BASE + (1 << 20), mark[0], 1 << 20)
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
    areas = (
        (KERNEL_BASE, stack - STACK_GUARD),
        (stack, stack + (8 << 20)),
        (OUTPUT_BASE, OUTPUT_BASE + LOGGED_OUTPUT),
    )
    for start, end in areas:
        while hit := search(start, end - start, wanted, len(mark)):
            found += hit != ctypes.addressof(wanted)
            start = hit + 1
    return found


def test_a_function_never_finds_what_another_left() -> None:
    mark = os.urandom(12)
    hidden = bytes(byte ^ 0xFF for byte in mark)
    assert searches(bytes(byte ^ 0xFF for byte in b"udfvm_agent")) > 0  # it finds what is there
    for _ in range(2):
        fills(mark)
        assert searches(hidden) == 0


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
