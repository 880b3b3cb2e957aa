"""The default pools: one for each base image that this process uses."""

from __future__ import annotations

import os
import threading
from typing import Final

from udfvm import vmm
from udfvm.image import host_files

_MOST_VMS: Final = 64                                # made when needed; a statement may hold one for each UDF in it


class _Pools:
    """Pools by the identity of their base image. A forked child begins with none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[bytes, vmm.Pool] = {}
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._pools = {}

    def get(self, base: vmm.Image) -> vmm.Pool:
        """The pool for a base image."""
        with self._lock:
            pool = self._pools.get(base.digest)
            if pool is None:
                pool = self._pools[base.digest] = vmm.Pool(base, _MOST_VMS, host_files())
            return pool


_pools = _Pools()


def pool_for(base: vmm.Image) -> vmm.Pool:
    """The process's pool of VMs for a base image."""
    return _pools.get(base)
