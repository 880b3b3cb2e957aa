"""Large batches of functions that work row by row: several VMs compute at once.

The caller's thread takes parts of the rows, one after the other, and so do helpers. A helper begins
only where a VM is free, and gives its part back where there is none any more, so a call never waits
for VMs that only it could give back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from udfvm.errors import BusyError, CallTimeoutError
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    from udfvm.call.chunks import Sliceable
    from udfvm.call.runtime import RuntimeKeeper
    from udfvm.codec.fixed_width import ResultMemory
    from udfvm.load.declaration import Declaration
    from udfvm.vmm import Cancellation

_Call = Callable[[Any, Any, Any, int], list[Any]]

_PROBE_ROWS: Final = 1 << 10  # say how fast a function is
_MIN_SECONDS: Final = 0.004  # of a batch: with less, a second thread and one piece cost more
_CALL: Final = 0.0002  # of a part, whatever rows it has
_PART: Final = 0.01  # seconds of a part: little is left to wait for at the end
_LOOK: Final = 0.1  # seconds between two looks at the helpers


class Pace:
    """How fast a function was so far.

    Attributes:
        seconds: of a row; 0 if that is not known.
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def is_short(self, rows: int) -> bool:
        """Returns True if so many rows are known to take less time than several VMs would save."""
        return 0 < self.seconds * rows < _MIN_SECONDS

    def measured(self, rows: int, seconds: float) -> None:
        """Takes into account that so many rows took so long."""
        found = max(seconds - _CALL, _CALL / 10) / rows
        if self.seconds and found > self.seconds:
            # A first call, and one that waited for a processor, took longer than its rows.
            found = self.seconds if seconds < _MIN_SECONDS else (self.seconds + found) / 2
        self.seconds = found


def may_spread(declaration: Declaration) -> bool:
    """Returns True for a function whose rows may be computed by several VMs: it works row by row,
    calls nothing of this program, and has no limit that counts for all rows together.
    """
    limits = declaration.limits
    return (
        declaration.elementwise
        and not declaration.host_functions
        and not limits.max_output
        and limits.log in ("forward", "drop")
    )


def call_many(
    calls: RuntimeKeeper,
    whole: Sliceable,
    call: _Call,
    memory: Callable[[int], ResultMemory] | None,
) -> list[Any]:
    """Calls a function that works row by row with many rows. Returns the results in the order of
    the rows.

    Args:
        calls: the function's calls.
        whole: the rows.
        call: calls with some of the rows; it also gets what copies the result, and the index of the
            first row.
        memory: makes the memory for the results of so many rows, where they are numbers.

    Raises what ``call`` raises: of several failures, that of the first rows.
    """
    rows = whole.num_rows
    if not may_spread(calls.declaration):
        return call(calls, whole, None, 0)
    if calls.pace is None:
        calls.ready()  # building an image says nothing about a row
        calls.pace = Pace()
    pace: Pace = calls.pace
    if pace.is_short(rows):
        started = time.monotonic()
        results = call(calls, whole, None, 0)
        pace.measured(rows, time.monotonic() - started)
        return results
    vms = _free_vms(calls)
    if vms < 2:
        return call(calls, whole, None, 0)
    with calls.batch() as parts:
        return _Spread(parts, whole, call).run(vms, memory)


def has_free_vm(calls: RuntimeKeeper, *, beyond_half: bool) -> bool:
    """Returns True if the pool has a VM for one more call without waiting. Unless ``beyond_half``,
    half of its VMs are left to others.
    """
    pool = calls.ready().pool
    live, idle = pool.pool_statistics()
    most = pool.limit if beyond_half else pool.limit // 2
    return most > live - idle


def _free_vms(calls: RuntimeKeeper) -> int:
    """Returns how many VMs may compute: no more than there are processors, and as the pool has
    without waiting.
    """
    pool = calls.ready().pool
    live, idle = pool.pool_statistics()
    busy = live - idle
    processors = len(os.sched_getaffinity(0))
    return min(pool.limit - busy, processors - busy + pool.borrowed_count)


class _Part(NamedTuple):
    """Rows: so many from the first on."""

    first: int
    rows: int


class _Spread:
    """One call with a large batch."""

    def __init__(self, calls: RuntimeKeeper, whole: Sliceable, call: _Call) -> None:
        from udfvm.vmm import Cancellation, cancellation_of_thread

        self._calls = calls
        self._pace: Pace = calls.pace
        self._copy: Any = None
        self._whole = whole
        self._call = call
        self._timeout_ns = calls.declaration.limits.timeout_ns
        self._started = time.monotonic_ns()
        self._cancellation = Cancellation()
        self._outer = cancellation_of_thread()
        self._caller = threading.get_ident()
        self._running: dict[int, Cancellation] = {}  # by first row
        self._lock = threading.Lock()
        self._next = 0  # row that no part has yet
        self._given_back: list[_Part] = []
        self._vms = 1
        self._results: dict[int, list[Any]] = {}  # by first row
        self._failures: dict[int, BaseException] = {}

    def run(self, vms: int, memory: Callable[[int], ResultMemory] | None) -> list[Any]:
        """Returns the results, of so many VMs at most."""
        rows = self._whole.num_rows
        if not self._pace.seconds:
            self._next = _PROBE_ROWS
            self._results[0] = self._compute(_Part(0, _PROBE_ROWS))
        left = rows - self._next
        seconds = left * self._pace.seconds
        if seconds < _MIN_SECONDS:
            probed = self._results.get(0, [])  # none, if another thread has measured meanwhile
            return [*probed, *self._compute(_Part(self._next, left))]
        made = None if memory is None or self._next else memory(rows)
        self._copy = made and made.keep
        self._vms = vms
        self._with_helpers(vms - 1)
        while self._given_back and not self._failures:
            self._do(self._given_back.pop())
        if self._failures:
            raise self._failures[min(self._failures)]
        results = [each for first in sorted(self._results) for each in self._results[first]]
        return results if made is None else made.joined(results)

    def _with_helpers(self, count: int) -> None:
        helpers: list[threading.Thread] = []
        try:
            for _ in range(count):
                helper = threading.Thread(target=self._help, name="udfvm-helper", daemon=True)
                helper.start()
                helpers.append(helper)
        except RuntimeError:
            pass  # no thread is to be had: the caller does the work
        try:
            self._take_parts()
            for helper in helpers:
                while helper.is_alive():
                    helper.join(_LOOK)  # Ctrl-C is noticed between two
        except BaseException:
            self._cancellation.cancel()
            self._end_behind(-1)
            raise
        finally:
            for helper in helpers:
                helper.join()

    def _help(self) -> None:
        try:
            self._take_parts()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            self._failures.setdefault(self._whole.num_rows, error)

    def _take_parts(self) -> None:
        while (part := self._take()) is not None:
            try:
                self._do(part)
            except BusyError:
                self._given_back.append(part)
                return

    def _do(self, part: _Part) -> None:
        """Computes a part, unless rows before it failed. Raises BusyError."""
        cancellation = self._begin(part)
        try:
            with cancellation.applies():
                self._results[part.first] = self._compute(part)
        except BusyError:
            raise
        except KeyboardInterrupt:
            if not self._failed_before(part):
                raise
        except Exception as error:  # noqa: BLE001 - that of the first rows is raised
            self._failures[part.first] = error
            self._end_behind(part.first)
        finally:
            with self._lock:
                del self._running[part.first]

    def _begin(self, part: _Part) -> Cancellation:
        """Returns what ends the calls of a part. If the caller's thread has such already, that goes
        on to end its calls.
        """
        from udfvm.vmm import Cancellation

        made = Cancellation()
        with self._lock:
            self._running[part.first] = made
        if self._cancellation or self._failed_before(part):
            made.cancel()
        is_helper = threading.get_ident() != self._caller
        return made if is_helper or self._outer is None else self._outer

    def _failed_before(self, part: _Part) -> bool:
        return any(first < part.first for first in list(self._failures))

    def _end_behind(self, row: int) -> None:
        """Ends the calls of the parts behind a row: what they find is not wanted any more."""
        with self._lock:
            for first, cancellation in self._running.items():
                if first > row:
                    cancellation.cancel()

    def _take(self) -> _Part | None:
        with self._lock:
            first = self._next
            left = self._whole.num_rows - first
            if not left or self._failures or self._cancellation:
                return None
            fitting = max(_PROBE_ROWS, int(_PART / self._pace.seconds))
            rows = min(fitting, -(-self._whole.num_rows // self._vms))
            rows = left if left < rows * 5 // 4 else rows  # no small rest
            self._next += rows
            return _Part(first, rows)

    def _compute(self, part: _Part) -> list[Any]:
        """Calls with a part, in the time that the whole call has left."""
        now = time.monotonic_ns()
        rows = self._whole.slice(*part)
        calls = self._calls
        if self._timeout_ns:
            calls = calls.snapshot(max(1, self._timeout_ns - (now - self._started)))
        try:
            results = self._call(calls, rows, self._copy, part.first)
        except CallTimeoutError as error:
            failure = error.within(self._timeout_ns / 1e9)
            failure.of_rows(self._whole.num_rows)
            raise failure from None
        self._pace.measured(part.rows, (time.monotonic_ns() - now) / 1e9)
        return results
