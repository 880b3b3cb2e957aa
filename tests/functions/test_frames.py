"""Frames of other threads, which are told without harm to those: see frames.c."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import udfvm
from udfvm.functions import _frames

DEPTH = 200


@contextmanager
def deep_thread() -> Iterator[int]:
    """A thread that waits in a deep stack, whose frames nobody has seen."""
    waits, ends = threading.Event(), threading.Event()

    def descend(depth: int) -> None:
        if depth:
            descend(depth - 1)
        else:
            waits.set()
            ends.wait()

    thread = threading.Thread(target=descend, args=(DEPTH,))
    thread.start()
    waits.wait()
    try:
        yield thread.ident or 0
    finally:
        ends.set()
        thread.join()


@contextmanager
def collections() -> Iterator[list[str]]:
    """Garbage is collected as often as can be; what is yielded grows each time."""
    seen: list[str] = []

    def callback(phase: str, _: object) -> None:
        seen.append(phase)

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    try:
        yield seen
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(callback)


@pytest.mark.parametrize(
    "look",
    [_frames.of_thread, lambda _: _frames.innermost_of("threading")],
    ids=["of a thread", "of a package"],
)
def test_nothing_is_collected_meanwhile(look: Callable[[int], object]) -> None:
    """What is collected may let other threads run, which then leave the frames that are made."""
    with deep_thread() as thread, collections() as seen:
        begin = len(seen)
        found = look(thread)
        collected = len(seen) - begin
        assert found and gc.isenabled()
        made = [[number] for number in range(100)]
        assert seen and len(made) == 100  # as always
    assert collected == 0


def test_the_frames_of_a_thread() -> None:
    with deep_thread() as thread:
        names = [frame.f_code.co_name for frame in _frames.of_thread(thread)]
        assert names.count("descend") == DEPTH + 1 and names[-1] == "_bootstrap"
        innermost = _frames.innermost_of("threading")[thread]
        assert innermost.f_globals is vars(threading)
        assert _frames.innermost_of("thread") == {}  # which the package's name begins with
    assert _frames.of_thread(thread) == []


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        _frames.innermost_of("threading")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_arguments() -> None:
    with pytest.raises(TypeError):
        _frames.innermost_of(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _frames.of_thread([])  # type: ignore[arg-type]
    assert gc.isenabled()


def test_whoever_asks_is_not_kept() -> None:
    class Kept:
        pass

    def ask() -> list[object]:
        kept, frames = Kept(), _frames.innermost_of("threading")
        return [id(kept), len(frames)]

    gc.collect()
    gc.disable()
    try:
        ask()
        assert not any(isinstance(each, Kept) for each in gc.get_objects())
    finally:
        gc.enable()


def test_nothing_else_looks_at_frames_of_other_threads() -> None:
    package = Path(udfvm.__file__).parent
    found = [path for path in package.rglob("*.py") if "_current_frames" in path.read_text()]
    assert found == [] and hasattr(sys, "_current_frames")
