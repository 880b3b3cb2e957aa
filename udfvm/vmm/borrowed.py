"""Borrowed replies, which are handed out without a copy. While one is in use, its VM stays out of
the pool.

Only the part of a reply that its user needs is borrowed. The user may write to it: the core treats
it as written (``udfvm_vm_borrow``).

The thread that drops the last view of a reply restores its VM, just as freeing large memory is paid
by the thread that frees it. So the next call finds a VM whose memory is in the processor's caches,
and there are no more VMs than replies in use. The last view may be dropped in a garbage collection:
the core takes no lock there that its caller may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from udfvm.vmm._core import ffi, lib

if TYPE_CHECKING:
    from udfvm.vmm.vm import VM

MIN_BYTES: Final = 1 << 20  # a smaller reply is copied faster than borrowed
MAX_VMS: Final = 4


class BorrowedReplies:
    """The VMs of a pool whose replies are in use."""

    def __init__(self, limit: int) -> None:
        self._max_vms = min(MAX_VMS, limit // 2)
        self._borrowed: set[int] = set()

    @property
    def count(self) -> int:
        """The number of VMs whose replies are in use."""
        return len(self._borrowed)

    def takes(self, length: int) -> bool:
        """Returns True if a reply of this size should be borrowed."""
        return length >= MIN_BYTES and len(self._borrowed) < self._max_vms

    def borrow(self, vm: VM, begin: int, length: int) -> memoryview | None:
        """Borrows a part of the VM's reply. The VM no longer belongs to the caller: it goes back to
        the pool when the last view of the part is gone.

        Returns None if the part cannot be borrowed. Then the VM still belongs to the caller.
        """
        data = lib.udfvm_vm_borrow(vm._handle, begin, length, vm._error)
        if not data:
            return None
        borrowed, held, number = self._borrowed, vm._held, int(ffi.cast("uintptr_t", vm._handle))

        def put_back(_: object) -> None:
            lib.udfvm_pool_let_go(held)
            borrowed.discard(number)

        part = ffi.gc(ffi.cast("char *", data), put_back, length)
        vm._handle = vm._held = ffi.NULL  # the part holds it from now on
        borrowed.add(number)
        return memoryview(ffi.buffer(part, length))
