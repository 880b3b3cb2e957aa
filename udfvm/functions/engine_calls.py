"""Calls that an engine makes on threads of its own, which Ctrl-C ends.

Python's handlers of signals run on the main thread, when Python code runs there next. Where that
waits for an engine, such as Polars, its UDFs run on other threads, and would run on until their
timeout. So they say here that they run. ``udfvm/functions/arrow_interrupts.py`` takes the signal,
and ends those of the engines that the main thread waits for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Final

import pyarrow as pa  # noqa: F401 - what the functions of Arrow are linked with, and the next one

from udfvm.call import _fast_path  # noqa: F401
from udfvm.functions import _frames
from udfvm.tuples import NamedTuple
from udfvm.vmm.cancellation import Cancellation, cancellation_of_thread

try:
    from udfvm.functions import _arrow_functions
except ImportError:  # as in arrow_registry
    _arrow_functions = None  # type: ignore[assignment]

ENGINE_ENDS: Final = 1.0  # seconds that an engine has to end, once its calls ended by an exception
CALLS_END: Final = 10.0  # seconds that its calls have to end
LOOK: Final = 0.005  # seconds between two looks
_SETTLES: Final = 0.1  # seconds in which an engine's thread makes its own error of an exception


class _Engine(NamedTuple):
    """Attributes:
    package: the Python package of the engine.
    raises: whether KeyboardInterrupt in a call reaches who waits for the engine.
    has_frames: whether who waits for the engine does so in Python code of its package.
    """

    package: str
    raises: bool
    has_frames: bool


class CallsTogether:
    """Calls of an engine that Ctrl-C ends together. Noting one costs next to nothing, so this is
    for many short calls.

    Attributes:
        running: has an item for each call on a thread other than the main one.
        ending: what ends the calls that begin now, and the address of its flag.
    """

    def __init__(self, package: str, *, raises: bool, has_frames: bool = True) -> None:
        """As for ``call_of_engine``."""
        self.engine: Final = _Engine(package, raises, has_frames)
        self.running: Final[list[None]] = []  # to add and to remove one takes no lock
        self.ending = self._new_ending()
        _together[weakref.ref(self, _forget)] = None

    def _new_ending(self) -> tuple[Cancellation, int]:
        made = Cancellation()
        return made, made.address

    def renew(self) -> Cancellation:
        """Returns what ends the calls that run, and none that begins later."""
        (ended, _), self.ending = self.ending, self._new_ending()
        return ended

    def cancel(self) -> None:
        """Ends the calls that run."""
        self.renew().cancel()

    def begin(self) -> bool:
        """Notes a call, which has to look at ``ending``. Returns whether to call ``end``."""
        if threading.get_ident() == threading.main_thread().ident or _arrow_functions is None:
            return False
        self.running.append(None)
        _arrow_functions.call_for_main()
        return True

    def end(self, *, failed: bool) -> None:
        """Notes the end of a call."""
        if self.running:  # which a forked child forgets, even one that a call forks
            self.running.pop()
        if failed:
            _failures.last = time.monotonic()


_running: Final[dict[Cancellation, _Engine]] = {}
_together: Final[dict[weakref.ref[CallsTogether], None]] = {}


def _forget(reference: weakref.ref[CallsTogether]) -> None:
    _together.pop(reference, None)


def all_together() -> list[CallsTogether]:
    """Returns all that there are. Other threads make some meanwhile."""
    references = list(_together)  # in one step, unlike what a WeakSet does
    return [each for each in (reference() for reference in references) if each is not None]


def _all_running() -> Mapping[Cancellation | CallsTogether, _Engine]:
    """Returns what ends the running calls, and the engine of each. Others add to them meanwhile."""
    running: dict[Cancellation | CallsTogether, _Engine] = {}
    running.update((each, engine) for each, engine in _running.copy().items())
    running.update((each, each.engine) for each in all_together() if each.running)
    return running


class _Failures:
    """Attributes:
    last: when a call last ended by an exception.
    """

    last = float("-inf")


_failures: Final = _Failures()


@contextmanager
def call_of_engine(
    package: str,
    *,
    raises: bool,
    has_frames: bool = True,
    cancellation: Cancellation | None = None,
) -> Iterator[None]:
    """Within it this thread makes a call for an engine. Ctrl-C ends it with KeyboardInterrupt if
    the main thread waits for that engine.

    Args:
        package: the Python package of the engine, such as "polars".
        raises: whether KeyboardInterrupt in a call reaches who waits for the engine. Otherwise the
            engine looks for signals itself.
        has_frames: whether who waits for the engine does so in Python code of its package.
            Otherwise the calls end wherever the main thread is.
        cancellation: what ends the call in other ways, too, also on the main thread.
    """
    is_main = threading.get_ident() == threading.main_thread().ident
    if is_main or _arrow_functions is None or cancellation_of_thread() is not None:
        with cancellation.applies() if cancellation is not None else contextlib.nullcontext():
            yield
        return
    cancellation = Cancellation() if cancellation is None else cancellation
    _running[cancellation] = _Engine(package, raises, has_frames)
    try:
        _arrow_functions.call_for_main()
        with cancellation.applies():
            yield
    except BaseException:
        _failures.last = time.monotonic()
        raise
    finally:
        _running.pop(cancellation, None)


def _after_fork() -> None:
    """Forgets the calls of threads that a forked child does not have."""
    _running.clear()
    for each in all_together():
        each.running.clear()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _end_all() -> None:
    """Ends calls of queries that failed or were interrupted, when the interpreter exits, and lets
    the engine's threads take note of it. Those that come back to Python after that would end in the
    middle of the engine's code, which crashes the process.
    """
    end = time.monotonic() + CALLS_END
    while (running := _all_running()) and time.monotonic() < end:
        for each in running:
            each.cancel()
        time.sleep(LOOK)
    while time.monotonic() < min(end, _failures.last + _SETTLES):
        time.sleep(LOOK)


def calls_run() -> bool:
    """Whether an engine's call runs."""
    return bool(_running) or any(each.running for each in all_together())


def interrupt(pass_on: Callable[[], None]) -> bool:
    """Ends the calls of the engine that the main thread waits for. Returns False if it waits for
    none, or for one whose calls have not ended it. ``pass_on`` lets the program's handler have the
    signal.
    """
    engines = set(_all_running().values())
    waiting = _frame_of({engine.package for engine in engines})
    if waiting is None:
        return _interrupt_without_frames(pass_on)
    frame, package = waiting
    passes = not all(engine.raises for engine in engines if engine.package == package)
    if passes:
        pass_on()
    begun = last = time.monotonic()
    while (now := time.monotonic()) < min(begun + CALLS_END, last + ENGINE_ENDS):
        for each, engine in _all_running().items():  # it may begin others meanwhile
            if engine.package == package:
                each.cancel()
                last = now
        time.sleep(LOOK)
        if not any(found is frame for found in _frames_of_main()):
            return True
    return passes


def _interrupt_without_frames(pass_on: Callable[[], None]) -> bool:
    """Ends the calls of engines whose waiting cannot be seen, until the main thread goes on."""
    if all(engine.has_frames for engine in _all_running().values()):
        return False
    place = _place_of_main()
    pass_on()
    end = time.monotonic() + ENGINE_ENDS
    while time.monotonic() < end:
        for each, engine in _all_running().items():
            if not engine.has_frames:
                each.cancel()
        time.sleep(LOOK)
        if _place_of_main() != place:
            break
    return True


def _place_of_main() -> tuple[FrameType | None, int]:
    frame = next(iter(_frames_of_main()), None)
    return frame, -1 if frame is None else frame.f_lasti


def _frame_of(packages: set[str]) -> tuple[FrameType, str] | None:
    """Returns the main thread's innermost frame of code of one of some packages, and which."""
    for frame in _frames_of_main():
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages:
            return frame, package
    return None


def _frames_of_main() -> list[FrameType]:
    """Returns the frames of the main thread, the innermost first."""
    return _frames.of_thread(threading.main_thread().ident or 0)
