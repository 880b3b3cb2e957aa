"""Deadlines of calls in this process: a thread raises an exception in the threads of late calls.

It is raised between two instructions of Python code. A function in C, such as ``time.sleep``, goes
on until it returns, and a function may catch the exception: then it is raised again and again.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident, start_new_thread

from udfvm.static_typing import Any, Final

_LOOK: Final = 0.02  # seconds between two looks at the calls that run
_IDLE: Final = 50  # looks without any, after which the thread ends
_AGAIN: Final = 1_000_000_000  # ns until the exception is raised once more
_FAR: Final = 1 << 62  # ns: a deadline that is none


class Deadlines:
    """The deadlines of the calls of one process, and the thread that looks at them.

    Attributes:
        ends: when the call ends that a thread is in, in nanoseconds, by the thread's number.
            ``_udfvm_agent.within`` and ``outside`` keep it.
    """

    def __init__(self, agent: Any, ended: type[BaseException]) -> None:
        self.ends: dict[int, int] = {}
        self.process = os.getpid()
        self._agent = agent
        self._ended = ended
        self._guard = allocate_lock()
        self._looks = False
        self._idle = 0  # looks without a call

    def watched(self, end_ns: int, load_end_ns: int) -> int | None:
        """Returns the first end for ``within``, of a call that begins. There is a thread from now
        on. None, and no thread: the call has no deadline.
        """
        if end_ns >= _FAR:
            return None
        with self._guard:
            self._idle = 0
            if not self._looks:
                self._looks = True
                start_new_thread(self._look, ())
        return load_end_ns

    def change(self, end_ns: int) -> None:
        """Sets another end of the call that this thread is in, if it has any."""
        if get_ident() in self.ends:
            self.ends[get_ident()] = end_ns

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK)
            now = time.monotonic_ns()
            self._agent.stop_late(self.ends, now, now + _AGAIN, self._ended)
            with self._guard:
                self._idle = 0 if self.ends else self._idle + 1
                if self._idle >= _IDLE:
                    self._looks = False
                    return
