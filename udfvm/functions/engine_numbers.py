"""The short way from an engine to a function of numbers.

Engines hold the interpreter's lock while they hand columns over, and their threads take turns
there. So what Python code does for a call, and each time that it lets the lock go, costs the other
threads too. Here a call is one function in C++ (``arrow_engines.cpp``). It takes pyarrow's columns
of exactly the declared types, without nulls. All others are left to the caller, who also makes the
first call, by which the image is found.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from udfvm.call.chunks import MANY_ROWS
from udfvm.call.spreading import may_spread
from udfvm.functions.arrow_calls import calls_of
from udfvm.functions.engine_calls import CallsTogether
from udfvm.vmm.cancellation import cancellation_of_thread

if TYPE_CHECKING:
    from udfvm.call.dispatch import Calls
    from udfvm.functions.function import Function
    from udfvm.vmm import Cancellation

try:
    from udfvm.functions import _arrow_functions
except ImportError:  # as in arrow_registry
    _arrow_functions = None  # type: ignore[assignment]


class _Registration:
    """Where C++ finds the calls."""

    __slots__ = ("calls",)

    def __init__(self, calls: Calls) -> None:
        self.calls = calls


def has_number_calls(function: Function) -> bool:
    """Whether there is a short way to a function: not to other types than numbers, nor to what may
    call host functions.
    """
    return (
        _arrow_functions is not None
        and function.host_functions is None
        and calls_of(function) is not None
    )


class NumberCalls(CallsTogether):
    """Calls of a function with columns of numbers, for an engine."""

    def __init__(
        self, function: Function, package: str, *, raises: bool, has_frames: bool = True
    ) -> None:
        """Of a function that ``has_number_calls``; the rest as for ``call_of_engine``."""
        super().__init__(package, raises=raises, has_frames=has_frames)
        calls = calls_of(function)
        assert calls is not None
        self._calls: Final = calls
        self._numbers: Final = _arrow_functions.numbers(
            _Registration(calls),
            tuple(each.type.arrow for each in function.parameters),
            function.result.type.arrow,
        )

    def call(self, columns: tuple[Any, ...], *, may_borrow: bool = False) -> Any:
        """Returns the results, an array of pyarrow; NotImplemented where the caller is to make the
        call. A large result is read where the micro-VM left it, if it ``may_borrow``.

        Raises what calls raise. Failures count their row in the batch.
        """
        if cancellation_of_thread() is not None:  # which would have to end the call, too
            return NotImplemented
        self._calls.keep_short_way()
        cancellation, address = self.ending
        noted = self.begin()
        failed = True
        try:
            made = _arrow_functions.call_numbers(self._numbers, columns, address, may_borrow)
            failed = False
        except KeyboardInterrupt:
            self.ended_by(cancellation)
            raise
        finally:
            if noted:
                self.end(failed=failed)
        return made

    def call_by_one(self, columns: tuple[Any, ...]) -> Any:
        """As ``call``, for columns of any length. NotImplemented also where several micro-VMs are
        to compute.
        """
        rows = len(columns[0])
        pace = self._calls.pace
        if rows >= MANY_ROWS and may_spread(self._calls.declaration):
            if pace is None or not pace.is_short(rows):
                return NotImplemented
        else:
            pace = None
        started = time.monotonic()
        made = self.call(columns, may_borrow=True)
        if pace is not None and made is not NotImplemented:
            pace.measured(rows, time.monotonic() - started)
        return made

    def ended_by(self, cancellation: Cancellation) -> None:
        """Raises what a call raises that was ended, in place of KeyboardInterrupt."""
