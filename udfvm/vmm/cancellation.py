"""Ending the calls of other threads: a flag that running calls and waits for VMs look at."""

from __future__ import annotations

from _thread import _local
from collections.abc import Iterator
from contextlib import contextmanager

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi


class Cancellation:
    """A flag. Once it is set, calls that were made within ``applies`` end with KeyboardInterrupt,
    on whichever thread they run, within some 50 ms.
    """

    __slots__ = ("flag",)

    def __init__(self, address: int = 0) -> None:
        """``address``: that of a flag that C code has, and also sets."""
        # The core reads it, without the interpreter's lock.
        self.flag: Any = ffi.cast("int *", address) if address else ffi.new("int *")

    @property
    def address(self) -> int:
        """Returns where the flag is, for C code."""
        return int(ffi.cast("uintptr_t", self.flag))

    def __bool__(self) -> bool:
        return bool(self.flag[0])

    def cancel(self) -> None:
        """Sets the flag, for good."""
        self.flag[0] = 1

    @contextmanager
    def applies(self) -> Iterator[None]:
        """Within it the calls of this thread look at the flag."""
        before, _thread.cancellation = _thread.cancellation, self
        try:
            yield
        finally:
            _thread.cancellation = before


class _Thread(_local):
    cancellation: Cancellation | None = None


_thread = _Thread()


def cancellation_of_thread() -> Cancellation | None:
    """Returns what the calls of this thread look at; None if nothing cancels them."""
    return _thread.cancellation
