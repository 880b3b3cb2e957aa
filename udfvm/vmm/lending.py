"""Replies handed out without a copy: while one is in use, its VM stays out of the pool.

Who drops the last view of a reply puts its VM back, as who frees large memory pays for that: the next call then finds the VM whose memory
is in the processor's caches, and there are no more VMs than replies in use. That may be in a garbage collection: the core takes no lock
there that its caller may hold.
"""

from __future__ import annotations

from typing import Any, Final

from udfvm.vmm._core import ffi, lib

LEAST_BYTES: Final = 1 << 20                      # a smaller reply is copied sooner than lent
MOST_VMS: Final = 4


class Lender:
    """The VMs of a pool whose replies are in use."""

    def __init__(self, pool: Any, limit: int) -> None:
        self._pool = pool
        self._most = min(MOST_VMS, limit // 2)
        self._lent: set[int] = set()

    def lends(self, length: int) -> bool:
        """Whether a reply of so many bytes is to be lent."""
        return length >= LEAST_BYTES and len(self._lent) < self._most

    def lend(self, vm: Any, data: Any, length: int) -> memoryview:
        """The reply at ``data``, memory of the VM, which goes back to the pool when nobody views it any more."""
        pool, lent, number = self._pool, self._lent, int(ffi.cast("uintptr_t", vm))

        def put_back(_: object) -> None:
            lib.udfvm_pool_give(pool, vm)
            lent.discard(number)

        lent.add(number)
        return memoryview(ffi.buffer(ffi.gc(ffi.cast("char *", data), put_back, length), length))
