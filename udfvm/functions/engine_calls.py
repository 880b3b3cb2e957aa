"""Calls that an engine makes on threads of its own, which Ctrl-C ends.

Python's handlers of signals run on the main thread, when Python code runs there next. Where that
waits for an engine, such as Polars, its UDFs run on other threads, and would run on until their
timeout. So they say here that they run. ``udfvm/functions/arrow_interrupts.py`` takes the signal,
and ends those of the engines that the main thread waits for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import pyarrow as pa  # noqa: F401 - what the functions of Arrow are linked with, and the next one

from udfvm.call import _fast_path  # noqa: F401
from udfvm.tuples import NamedTuple
from udfvm.vmm.cancellation import Cancellation, cancellation_of_thread

try:
    from udfvm.functions import _arrow_functions
except ImportError:  # as in arrow_registry
    _arrow_functions = None  # type: ignore[assignment]

_LONG: Final = 1.0  # seconds that an engine has to end by an exception of its calls
_LOOK: Final = 0.005  # seconds between two looks


class _Engine(NamedTuple):
    """Attributes:
    package: the Python package of the engine.
    raises: whether KeyboardInterrupt in a call reaches who waits for the engine.
    """

    package: str
    raises: bool


_running: Final[dict[Cancellation, _Engine]] = {}


@contextmanager
def call_of_engine(package: str, *, raises: bool) -> Iterator[None]:
    """Within it this thread makes a call for an engine. Ctrl-C ends it with KeyboardInterrupt if
    the main thread waits for that engine.

    Args:
        package: the Python package of the engine, such as "polars".
        raises: whether KeyboardInterrupt in a call reaches who waits for the engine. Otherwise the
            engine looks for signals itself.
    """
    is_main = threading.get_ident() == threading.main_thread().ident
    if is_main or _arrow_functions is None or cancellation_of_thread() is not None:
        yield
        return
    cancellation = Cancellation()
    _running[cancellation] = _Engine(package, raises)
    try:
        _arrow_functions.call_for_main()
        with cancellation.applies():
            yield
    finally:
        del _running[cancellation]


def calls_run() -> bool:
    """Whether an engine's call runs."""
    return bool(_running)


def interrupt(pass_on: Callable[[], None]) -> bool:
    """Ends the calls of the engine that the main thread waits for. Returns False if it waits for
    none, or for one whose calls have not ended it. ``pass_on`` lets the program's handler have the
    signal.
    """
    engines = set(_running.copy().values())  # others add to it
    waiting = _frame_of({engine.package for engine in engines})
    if waiting is None:
        return False
    frame, package = waiting
    passes = not all(engine.raises for engine in engines if engine.package == package)
    if passes:
        pass_on()
    end = time.monotonic() + _LONG
    while time.monotonic() < end:
        for cancellation, engine in _running.copy().items():  # it may begin others meanwhile
            if engine.package == package:
                cancellation.cancel()
        time.sleep(_LOOK)
        if not any(each is frame for each in _frames_of_main()):
            return True
    return passes


def _frame_of(packages: set[str]) -> tuple[FrameType, str] | None:
    """Returns the main thread's innermost frame of code of one of some packages, and which."""
    for frame in _frames_of_main():
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages:
            return frame, package
    return None


def _frames_of_main() -> Iterator[FrameType]:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back
