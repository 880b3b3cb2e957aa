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

from udfvm.static_typing import TYPE_CHECKING
from udfvm.vmm._core import ffi, lib

if TYPE_CHECKING:
    from udfvm.vmm.vm import VM


def borrow(vm: VM, begin: int, length: int) -> memoryview | None:
    """Borrows a part of the VM's reply. The VM no longer belongs to the caller: it goes back to the
    pool when the last view of the part is gone.

    Returns None for a part that is to be copied: it is small, or too many VMs have borrowed
    replies. Then the VM still belongs to the caller.
    """
    held = vm._held
    data = lib.udfvm_pool_borrow(held, begin, length)
    if not data:
        return None

    def put_back(_: object) -> None:
        lib.udfvm_pool_let_go(held)

    part = ffi.gc(ffi.cast("char *", data), put_back, length)
    vm._handle = vm._held = ffi.NULL  # the part holds it from now on
    return memoryview(ffi.buffer(part, length))
