"""Functions of many users on one micro-VM, and a spy that searches its memory.

Each way into the guest is taken again and again. An exception is raised at the first line of the
host's Python code, then at the second, and so on until a call ends without it. After each attempt
the spy, a function of another user, searches its memory for what the call was given.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import numpy as np
import pyarrow as pa

import udfvm
import udfvm.sqlite
from udfvm.protocol import (
    INPUT_BASE,
    INPUT_PAYLOAD,
    KERNEL_BASE,
    LOGGED_OUTPUT,
    OUTPUT_BASE,
    STACK_GUARD,
)
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
WHOLE = 128 << 20  # bytes of the input window
NEAR = 8 << 20  # more than most requests have
HOST_CODE = str(Path(udfvm.__file__).parent)


@udfvm.udf(pool=POOL, packages=PACKAGES)
def spies(mark: bytes, everywhere: bool, planted: int = -1, reach: int = WHOLE) -> int:
    """Copies of the bytes, xor 0xff, in what the host writes to: the input window past this
    request, for so many bytes, and the output window; or in all memory.

    Its argument is the complement of what it looks for, so as not to find that. It plants a copy
    itself at the end of the area ``planted``.
    """
    wanted = (ctypes.c_uint8 * len(mark))()
    for index, byte in enumerate(mark):
        wanted[index] = byte ^ 0xFF
    search = ctypes.CDLL(None).memmem
    search.restype = ctypes.c_void_p
    search.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
    logged_end = OUTPUT_BASE + LOGGED_OUTPUT
    areas = [(INPUT_PAYLOAD, INPUT_BASE + reach), (OUTPUT_BASE, logged_end)]
    if everywhere:
        # This makes the window past its first 2 MiB accessible.
        block = np.zeros(8 << 20, np.uint8)
        stack = (512 - 8) << 20
        areas += [
            (KERNEL_BASE, stack - STACK_GUARD),
            (stack, stack + (8 << 20)),
            (logged_end, OUTPUT_BASE + (128 << 20)),
            (block.ctypes.data, block.ctypes.data + block.nbytes),
        ]
    if planted >= 0:
        ctypes.memmove(areas[planted][1] - 4096, wanted, len(mark))
    found = 0
    for start, end in areas:
        while hit := search(start, end - start, wanted, len(mark)):
            found += hit != ctypes.addressof(wanted)
            start = hit + 1
    return found


class Stopped(BaseException):
    """Raised where a test wants it."""


def stopped_at_each_step(call: Callable[[], object], check: Callable[[int], None]) -> int:
    """Makes the call with an exception at the first line of the host's code, then at the second,
    and so on, and each time checks so many bytes of the input window. Returns how many lines there
    are.
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
            lambda frame, event, _: local if is_stopped_in(frame.f_code.co_filename) else None
        )
        try:
            call()
        except Stopped:
            pass
        except (udfvm.Error, apsw.Error):
            assert reached  # an exception in what the core calls ends the call in another way
        finally:
            sys.settrace(None)
        check(NEAR)
        if not reached:
            check(WHOLE)  # what was left further on has stayed
            return step
    raise AssertionError


def is_stopped_in(filename: str) -> bool:
    """Not where locks are held: a line of Python's trace lies between the body of a ``with`` and
    its end.
    """
    return filename.startswith(HOST_CODE) and not filename.endswith("udfvm/call/pool.py")


def nothing_is_left(reach: int = WHOLE) -> None:
    assert spies(HIDDEN, False, -1, reach) == 0


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


rows_of_text.pool = Longest.pool = POOL


@udfvm.udf(
    vectorized=True, input_types=["int64"], output_type="int64", pool=POOL, packages=PACKAGES
)
def echoes(numbers: np.ndarray) -> np.ndarray:
    return numbers.copy()


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
