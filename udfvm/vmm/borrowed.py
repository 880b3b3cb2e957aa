"""Replies handed out without a copy: while one is in use, its VM stays out of the pool.

Only the part of a reply that its user needs is borrowed. The user may write to it: the core takes
it as written (``udfvm_vm_borrow``).

Who drops the last view of a reply puts its VM back, as who frees large memory pays for that: the
next call then finds the VM whose memory is in the processor's caches, and there are no more VMs
than replies in use. That may be in a garbage collection: the core takes no lock there that its
caller may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from udfvm.vmm._core import ffi, lib

if TYPE_CHECKING:
    from udfvm.vmm.vm import VM

MIN_BYTES: Final = 1 << 20  # a smaller reply is copied sooner than borrowed
MAX_VMS: Final = 4


class BorrowedReplies:
    """The VMs of a pool whose replies are in use."""

    def __init__(self, limit: int) -> None:
        self._max_vms = min(MAX_VMS, limit // 2)
        self._borrowed: set[int] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._borrowed)

    def takes(self, length: int) -> bool:
        """Whether a reply of so many bytes is to be borrowed."""
        return length >= MIN_BYTES and len(self._borrowed) < self._max_vms

    def borrow(self, vm: VM, begin: int, length: int) -> memoryview | None:
        """A part of the VM's reply. The VM is no longer the caller's: it goes back to the pool when
        nobody views the part any more.

        None where it cannot be borrowed; then the VM is still the caller's.
        """
        data = lib.udfvm_vm_borrow(vm._handle, begin, length, vm._error)
        if not data:
            return None
        borrowed, held, number = self._borrowed, vm._held, int(ffi.cast("uintptr_t", vm._handle))

        def put_back(_: object) -> None:
            lib.udfvm_pool_let_go(held)
            borrowed.discard(number)

        part = ffi.gc(ffi.cast("char *", data), put_back, length)
        vm._handle = vm._held = ffi.NULL  # from here on the part holds it
        borrowed.add(number)
        return memoryview(ffi.buffer(part, length))
