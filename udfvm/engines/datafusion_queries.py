"""Calls of a query of DataFusion, which end when one of them fails.

DataFusion does not wait for the calls of a query that has failed, and does not say which query a
call belongs to. However, a thread of Python waits for each query, in code of DataFusion's package.
So calls that began while the same frame was the only one that waited are of the same query.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

from udfvm.engines.failures import locate_in, with_whole_text
from udfvm.errors import Error
from udfvm.functions.engine_calls import call_of_engine
from udfvm.vmm.cancellation import Cancellation

_PACKAGE: Final = "datafusion"
_LONG: Final = 0.25  # seconds that a query has to end by its error
_LOOK: Final = 0.005  # seconds between two looks

#: The running calls, with the frames that wait for their queries.
_running: Final[dict[Cancellation, FrameType | None]] = {}


@contextlib.contextmanager
def calls_of_query(of: str = "batch") -> Iterator[None]:
    """Within it this thread makes calls for a query. ``of`` is what the rows of errors count in.

    DataFusion makes errors of its own, with the ``repr`` of those of Python.
    """
    call, waiting = Cancellation(), _waiting()
    _running[call] = waiting
    try:
        with call_of_engine(_PACKAGE, raises=False, has_frames=False, cancellation=call):
            yield
    except Error as error:
        locate_in(error, of)
        if waiting is not None and list(_running.values()).count(waiting) > 1:
            threading.Thread(target=_end_others, args=(waiting,), daemon=True).start()
        raise with_whole_text(error) from None
    finally:
        del _running[call]


def _end_others(waiting: FrameType) -> None:
    """Ends the calls of a query that fails, when it has ended by the error of the first one."""
    end = time.monotonic() + _LONG
    while waiting in _frames_of_package() and time.monotonic() < end:
        time.sleep(_LOOK)
    for call, of in _running.copy().items():
        if of is waiting:
            call.cancel()


def _waiting() -> FrameType | None:
    """Returns the frame that waits for a query; None where there are several, or none."""
    found = _frames_of_package()
    return found[0] if len(found) == 1 else None


def _frames_of_package() -> list[FrameType]:
    """Returns the innermost frame of DataFusion's code of each thread that has one."""
    found = []
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at is not None:
            if str(at.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE:
                found.append(at)
                break
            at = at.f_back
    return found
