"""Streams of results of DataFusion that are dropped before their end, with which their calls end.

DataFusion stops a query whose stream is dropped, but does not end a call that runs then. Nor does
it say which stream a call belongs to: that is the one that a thread makes, or in whose ``next`` it
waits, when the call begins, or the only one that there is.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

#: The streams that there are, by their id().
_streams: Final[dict[int, weakref.ref[Any]]] = {}


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
        key = id(self)
        _streams[key] = weakref.ref(self, lambda _: _streams.pop(key, None))
        begun(sys._getframe(1), _streams[key])

    vars(watched)["is_watched"] = True
    streams.__init__ = watched


def stream_in(frame: FrameType) -> weakref.ref[Any] | None:
    """Returns the stream whose method a frame is. It is not kept by that."""
    return _streams.get(id(frame.f_locals.get("self")))


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
