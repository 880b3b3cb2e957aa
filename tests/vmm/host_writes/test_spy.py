"""The spy finds what is in its memory, and is on the micro-VM of the other functions."""

from __future__ import annotations

import ctypes
import threading

import host_write_functions
import pytest
from host_write_functions import HIDDEN, MARK, POOL, nothing_is_left, of_text, spies

import udfvm
import udfvm.sqlite


@pytest.mark.parametrize(
    "area", ["output window", "program", "stack", "rest of the output window", "scratch"]
)
def test_the_spy_finds_what_is_in_its_memory(area: str) -> None:
    index = [
        "input window",
        "output window",
        "program",
        "stack",
        "rest of the output window",
        "scratch",
    ].index(area)
    before = spies(HIDDEN, True)
    assert spies(HIDDEN, True, index) == before + 1
    assert spies(HIDDEN, True) == before


def test_the_spy_finds_what_a_host_left() -> None:
    """The spy sees what must never happen: writes to a window that the core does not know of."""
    runtime, vm = spies._calls.take_vm()
    window = ctypes.addressof(ctypes.c_char.from_buffer(vm.input(1 << 20)))
    runtime.pool.give(vm)
    nothing_is_left()
    for offset in (4096, 500_001, (1 << 20) - len(MARK)):
        ctypes.memmove(window + offset, MARK, len(MARK))
        assert spies(HIDDEN, False) == 1
        assert spies(HIDDEN, True) == 1
        ctypes.memset(window + offset, 0, len(MARK))
        nothing_is_left()


def test_all_functions_share_a_micro_vm() -> None:
    everything = vars(host_write_functions).values()
    functions = [value for value in everything if isinstance(value, udfvm.Function)]
    assert len(functions) > 10
    assert {function.image.base.digest for function in functions} == {spies.image.base.digest}
    assert all(function.pool is POOL for function in functions)


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
