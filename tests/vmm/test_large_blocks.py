"""The next call cannot read large blocks of memory, which lie outside of the dirty log."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

import udfvm
from udfvm.limits import WINDOW
from udfvm.protocol import INPUT_BASE, LOGGED_OUTPUT, OUTPUT_BASE

MARK = 0x5EC2E7F00D5EC2E7


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
    for offset in (4 << 20, _WINDOW - kept[0].nbytes):
        ctypes.memmove(OUTPUT_BASE + offset, kept[0].ctypes.data, kept[0].nbytes)
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
        np.frombuffer((ctypes.c_char * (8 << 20)).from_address(OUTPUT_BASE + offset))
        for offset in (4 << 20, _WINDOW - (8 << 20))
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


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def fills_large_blocks(x: np.ndarray) -> np.ndarray:
    blocks = [np.full(len(x), MARK, dtype=np.int64) for _ in range(4)]
    return blocks[-1].view(np.float64) + 0 * x


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def finds_in_large_blocks(x: np.ndarray) -> np.ndarray:
    """How often the mark is anywhere in the output window past its first 2 MiB, and in scratch."""
    call = (ctypes.c_uint64 * 8).from_address(INPUT_BASE)  # struct udfvm_call
    start, end = OUTPUT_BASE + LOGGED_OUTPUT, call[7]  # scratch_end
    words = np.frombuffer((ctypes.c_char * (end - start)).from_address(start), dtype=np.int64)
    found = sum(
        int((words[start : start + 65536] == MARK).sum()) for start in range(0, len(words), 65536)
    )
    return np.full(len(x), float(found))


def test_large_blocks_are_gone() -> None:
    large, small = np.zeros(500_000), np.zeros(1)
    assert len(fills_large_blocks(large)) == len(large)
    for _ in range(3):
        assert finds_in_large_blocks(small)[0] == 0
        assert len(fills_large_blocks(large)) == len(large)
    kept = [fills_large_blocks(large) for _ in range(6)]  # more than are borrowed
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
