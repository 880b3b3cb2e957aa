"""Replies handed out without a copy: while one is in use, its VM stays out of the pool.

The last view of a reply may go anywhere, in a garbage collection too, and putting a VM back takes time where much was written. So a
thread of the pool's does that.
"""

from __future__ import annotations

import queue
import threading
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
        self._returned: queue.SimpleQueue[Any] = queue.SimpleQueue()       # whose put() may be called in a garbage collection
        self._thread: threading.Thread | None = None

    def lends(self, length: int) -> bool:
        """Whether a reply of so many bytes is to be lent."""
        return length >= LEAST_BYTES and len(self._lent) < self._most

    def lend(self, vm: Any, data: Any, length: int) -> memoryview:
        """The reply at ``data``, memory of the VM, which goes back to the pool when nobody views it any more."""
        if self._thread is None:
            work = (self._pool, self._lent, self._returned)
            self._thread = threading.Thread(target=_put_back, args=work, name="udfvm-put-back", daemon=True)
            self._thread.start()
        lent, returned = self._lent, self._returned
        lent.add(int(ffi.cast("uintptr_t", vm)))
        return memoryview(ffi.buffer(ffi.gc(ffi.cast("char *", data), lambda _: returned.put(vm), length), length))

    def end(self) -> None:
        """Ends the thread once it has put back what was returned so far."""
        if self._thread is not None:
            self._returned.put(None)


def _put_back(pool: Any, lent: set[int], returned: queue.SimpleQueue[Any]) -> None:
    while (vm := returned.get()) is not None:
        lib.udfvm_pool_give(pool, vm)
        lent.discard(int(ffi.cast("uintptr_t", vm)))
