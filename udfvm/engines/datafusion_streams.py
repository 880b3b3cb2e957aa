"""Streams of results of DataFusion that are dropped before their end, with which their calls end.

DataFusion stops a query whose stream is dropped, but does not end a call that runs then. Nor does
it say which stream a call belongs to: that is the one that a thread makes, or in whose ``next`` it
waits, when the call begins, or the only one that there is.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

#: The streams that there are, by their id().
_streams: Final[dict[int, weakref.ref[Any]]] = {}
#: The stream that a frame made, by the id() of the frame; and where it did, which tells the frame
#: from a later one that has its id().
_made: Final[dict[int, tuple[CodeType, int, weakref.ref[Any]]]] = {}
#: The stream that a thread waits for, by the thread's number.
_awaited: Final[dict[int, weakref.ref[Any] | None]] = {}
_Batch = TypeVar("_Batch")


def watch_streams(streams: Any, begun: Callable[[FrameType, weakref.ref[Any]], None]) -> None:
    """Takes note of the streams of a class from now on. ``begun`` is called with the frame that
    makes one, in which calls may have begun already.
    """
    initialise = streams.__init__
    if getattr(initialise, "is_watched", False):
        return

    @functools.wraps(initialise)
    def watched(self: Any, *arguments: Any, **named: Any) -> None:
        initialise(self, *arguments, **named)
        frame = sys._getframe(1)
        key, maker = id(self), id(frame)

        def forget(stream: weakref.ref[Any]) -> None:
            _streams.pop(key, None)
            if maker in _made and _made[maker][2] is stream:
                del _made[maker]

        _streams[key] = weakref.ref(self, forget)
        _made[maker] = frame.f_code, frame.f_lasti, _streams[key]
        begun(frame, _streams[key])

    vars(watched)["is_watched"] = True
    streams.__init__ = watched
    streams.__next__ = _noting_its_thread(streams.__next__)


def _noting_its_thread(next_of: Callable[[Any], _Batch]) -> Callable[[Any], _Batch]:
    """Returns a method of a stream during which the thread waits for the stream."""

    @functools.wraps(next_of)
    def noting(self: Any) -> _Batch:
        thread = threading.get_ident()
        outer = _awaited.get(thread)
        _awaited[thread] = _streams.get(id(self))
        try:
            return next_of(self)
        finally:
            if outer is None:
                _awaited.pop(thread, None)
            else:
                _awaited[thread] = outer

    return noting


def stream_of_thread(thread: int) -> weakref.ref[Any] | None:
    """Returns the stream in whose ``__next__`` a thread waits. It is not kept by that."""
    return _awaited.get(thread)


def stream_made_in(frame: FrameType) -> weakref.ref[Any] | None:
    """Returns the stream that a frame made."""
    code, place, stream = _made.get(id(frame), (None, 0, None))
    return stream if code is frame.f_code and frame.f_lasti >= place else None


def only_stream() -> weakref.ref[Any] | None:
    """Returns the stream that there is; None where there are several, or none."""
    found = list(_streams.copy().values())
    return found[0] if len(found) == 1 else None


def when_dropped(stream: weakref.ref[Any], do: Callable[[], None]) -> object:
    """Does something when a stream is dropped, for as long as what it returns is kept."""
    there = stream()
    if there is None:
        do()
        return None
    return weakref.ref(there, lambda _: do())
