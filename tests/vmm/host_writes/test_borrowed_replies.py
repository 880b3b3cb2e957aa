"""Nothing is left of what a caller writes to a borrowed reply."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from host_write_functions import HIDDEN, MARK, PACKAGES, echoes, spies

import udfvm
import udfvm.sqlite
from udfvm.protocol import OUTPUT_BASE, REQUEST_BATCH, STATUS_OK, VECTOR_COMPLETE

BORROWING = udfvm.Pool(size=2)


def _borrowed() -> tuple[np.ndarray, Callable[[], int]]:
    """A result borrowed from one of two micro-VMs, and a search of both for the mark."""
    lazy = udfvm.udf(
        vectorized=True,
        input_types=["int64"],
        output_type="int64",
        pool=BORROWING,
        packages=PACKAGES,
    )(_completes_without_writing)
    looks = udfvm.udf(pool=BORROWING, packages=PACKAGES)(spies.function)

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


def _completes_without_writing(numbers: np.ndarray) -> np.ndarray:
    """Completes with the head of a reply, and whatever memory is behind it."""

    head, length = int(numbers[0]), int(numbers[1])
    ctypes.memmove(OUTPUT_BASE, numbers[2:].ctypes.data, head)
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, length)
    return numbers


def _fill(result: np.ndarray) -> None:
    result.view(np.uint8)[:] = np.tile(
        np.frombuffer(MARK, np.uint8), result.nbytes // len(MARK) + 1
    )[: result.nbytes]


@pytest.mark.parametrize("lasts", ["dropped", "past its pool", "forked"])
def test_results_that_are_borrowed(lasts: str) -> None:
    result, found = _borrowed()
    assert result.flags.writeable and not result.flags.owndata and not result.any()
    _fill(result)
    if lasts == "past its pool":
        BORROWING.trim(0)
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


def test_replies_are_read_only_until_they_are_borrowed() -> None:
    runtime, vm = echoes._calls.take_vm()
    reply = vm.call(
        REQUEST_BATCH,
        echoes._calls.codecs.batches.stream(echoes._calls.codecs.batches.null_and_zero()),
        runtime.limits,
    )
    assert reply.data.readonly
    runtime.pool.give(vm)
