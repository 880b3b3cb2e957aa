"""Calls of a query of DataFusion, which end when one of them fails, or nobody wants its results.

DataFusion does not wait for the calls of a query that has failed, and does not say which query a
call belongs to. However, a thread of Python waits for each query, in code of DataFusion's package.
So calls that began while the same frame was the only one that waited are of the same query. A
thread in a stream's ``__next__`` waits for the stream.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from udfvm.engines.datafusion_streams import (
    only_stream,
    stream_made_in,
    stream_of_thread,
    when_dropped,
)
from udfvm.engines.failures import locate_in, with_whole_text
from udfvm.errors import Error
from udfvm.functions import _frames
from udfvm.functions.engine_calls import call_of_engine
from udfvm.vmm.cancellation import Cancellation

_PACKAGE: Final = "datafusion"
_LONG: Final = 0.25  # seconds that a query has to end by its error
_LOOK: Final = 0.005  # seconds between two looks

#: A query: the frame that waits for it, or its stream.
_Query = FrameType | weakref.ref[Any]


class _Call(Cancellation):
    """A running call of a query, which ends when the query's stream is dropped."""

    __slots__ = ("kept", "query")

    def __init__(self, query: _Query | None) -> None:
        super().__init__()
        self.kept: object = None
        self.of(query)

    def of(self, query: _Query | None) -> None:
        """Says which query the call belongs to."""
        self.query = query
        if isinstance(query, weakref.ref):
            self.kept = when_dropped(query, self.cancel)


_running: Final[set[_Call]] = set()


@contextlib.contextmanager
def calls_of_query(of: str = "batch") -> Iterator[None]:
    """Within it this thread makes calls for a query. ``of`` is what the rows of errors count in.

    DataFusion makes errors of its own, with the ``repr`` of those of Python.
    """
    call = _Call(_query())
    _running.add(call)
    if isinstance(call.query, FrameType) and (stream := stream_made_in(call.query)) is not None:
        call.of(stream)  # which began before the call was noted
    try:
        with call_of_engine(_PACKAGE, raises=False, has_frames=False, cancellation=call):
            yield
    except Error as error:
        locate_in(error, of)
        if call.query is not None and len(_calls_of(call.query)) > 1:
            threading.Thread(target=_end_others, args=(call.query,), daemon=True).start()
        raise with_whole_text(error) from None
    finally:
        _running.discard(call)


def stream_begins(frame: FrameType, stream: weakref.ref[Any]) -> None:
    """Says that calls that began in a frame belong to a stream."""
    for call in _calls_of(frame):
        call.of(stream)


def _end_others(query: _Query) -> None:
    """Ends the calls of a query that fails, when it has ended by the error of the first one."""
    end = time.monotonic() + _LONG
    while query in _queries() and time.monotonic() < end:
        time.sleep(_LOOK)
    for call in _calls_of(query):
        call.cancel()


def _calls_of(query: _Query) -> list[_Call]:
    return [call for call in _running.copy() if call.query is query]


def _query() -> _Query | None:
    """Returns the query that a call belongs to, which begins; None where that cannot be told."""
    found = _queries()
    return found[0] if len(found) == 1 else None if found else only_stream()


def _queries() -> list[_Query]:
    """Returns the queries that threads wait for."""
    return [
        stream_of_thread(thread) or stream_made_in(frame) or frame
        for thread, frame in _frames.innermost_of(_PACKAGE).items()
    ]
