"""Nothing of a request is left, at whatever step the writing ends."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from host_write_functions import (
    MARK,
    NESTED,
    NUMBERS,
    POOL,
    TEXT,
    Longest,
    Stopped,
    nothing_is_left,
    of_nested,
    of_numbers,
    of_strings,
    of_text,
    rows_of_text,
    stopped_at_each_step,
)

import udfvm
import udfvm.sqlite


def _numbers(rows: int) -> np.ndarray:
    return np.tile(NUMBERS, rows // 3)


def _refused(udf: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(udfvm.TypeMappingError):
        udf(*arguments)


LARGE = 60_000  # rows, more than small batches have
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


@pytest.mark.parametrize("way", WAYS)
def test_requests(way: str) -> None:
    WAYS[way]()  # the image is built, modules are imported
    assert stopped_at_each_step(WAYS[way], nothing_is_left) > 5


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
        "pyarrow numbers": (
            pa.chunked_array([np.arange(9), np.arange(4)]),  # one array alone goes in by C
            pa.array(np.zeros(13, np.int8)),
        ),
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
    nothing_is_left()


def _ends(texts: pa.Array) -> pa.Array:
    raise SystemExit


def test_signals_while_a_batch_is_written() -> None:
    marks, zeros = np.tile(NUMBERS, 300_000), np.zeros(900_000, np.int8)
    of_numbers(marks, zeros)
    stopped = 0

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for turn in itertools.count():
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.0002 * (turn % 40))
                of_numbers(marks, zeros)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stopped:
                stopped += 1
            nothing_is_left()
            if stopped > 3 and turn >= 160:  # each delay at least four times
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
