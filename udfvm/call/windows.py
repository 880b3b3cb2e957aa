"""Calls that need larger windows than those that VMs have: they are made on a VM of their own,
opened for the one call.

The windows of a VM never change. Most calls need little, so VMs have windows of ``limits.WINDOW``.
A call that needs more gets a VM on the same image, whose windows, and whose scratch for large
blocks, are as large as it takes, up to the memory of the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from udfvm.errors import InputTooLargeError, OutputLimitError
from udfvm.limits import MEMORY_UNIT, SCRATCH, WINDOW, Limits
from udfvm.protocol import MAX_WINDOW, PAGE_SIZE
from udfvm.texts import format_size
from udfvm.vmm.windows import Windows

_Result = TypeVar("_Result")

_CALL_PAGE: Final = PAGE_SIZE  # of the input window, before the payload
_NOT_AGAIN: Final = (
    "more than the output window has, and a call that may have called host functions is not made"
    " again with a larger one: say max_output=, the size of the largest result"
)


class _Capacity:
    """How large the windows of a function's calls may become, in bytes."""

    def __init__(self, limits: Limits) -> None:
        self.memory = limits.memory
        self.max_window = min(max(WINDOW, limits.memory), MAX_WINDOW // 2)

    def windows(self, request: int, reply: int) -> Windows:
        """Windows for a request and a reply of so many bytes, no larger than they may be."""
        output = min(max(WINDOW, _rounded(reply)), self.max_window)
        scratch = min(max(SCRATCH, self.memory), MAX_WINDOW - output)
        return Windows(
            min(max(WINDOW, _rounded(request + _CALL_PAGE)), self.max_window), output, scratch
        )

    @property
    def advice(self) -> str:
        """What to do where they may not."""
        largest = format_size(self.max_window)
        if self.max_window == MAX_WINDOW // 2:
            return f"more than the {largest} that a window can have: pass fewer rows at a time"
        return (
            f"more than the {largest} that the memory of the function allows: raise memory=,"
            " or pass fewer rows at a time"
        )


def _rounded(size: int) -> int:
    return size + -size % MEMORY_UNIT


def call_with_windows(
    function: str,
    limits: Limits,
    request: int,
    call: Callable[[Windows], _Result],
    *,
    failure: OutputLimitError | None = None,
    may_repeat: bool = True,
    advice: str = "",
) -> _Result:
    """A call with windows for a request of so many bytes; ``failure`` is how it ended with the
    usual ones, where it was made.

    A result shows how large it is once it is there. The call is made again then, with a larger
    window, where ``may_repeat`` allows that.

    Raises InputTooLargeError or OutputLimitError where the memory of the function does not allow
    what it takes; ``advice`` is added.
    """
    capacity = _Capacity(limits)
    if request + _CALL_PAGE > capacity.max_window:
        raise InputTooLargeError(
            f"the arguments have {format_size(request)}, {capacity.advice}{advice}", function
        )
    windows = Windows(WINDOW, WINDOW, SCRATCH)
    reply = max(request, limits.max_output)  # results tend to be as large as the arguments
    while True:
        if failure is not None:
            if limits.max_output and failure.size > limits.max_output:
                raise failure
            if failure.size > capacity.max_window or windows.output == capacity.max_window:
                raise OutputLimitError(
                    f"the result has {format_size(failure.size)}, {capacity.advice}{advice}",
                    function,
                ) from failure
            if not may_repeat:
                raise OutputLimitError(
                    f"the result has {format_size(failure.size)}, {_NOT_AGAIN}", function
                ) from failure
            reply = max(failure.size, 2 * windows.output)
        windows = capacity.windows(request, reply)
        try:
            return call(windows)
        except OutputLimitError as error:
            failure = error
