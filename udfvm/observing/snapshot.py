"""What an observed program tells: its pools, the functions that were called, their memory."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

from udfvm.backend import in_process
from udfvm.call.pool import Pool, pools
from udfvm.call.reports import PHASES, CallTotals, stats
from udfvm.errors import HostError
from udfvm.vmm import ImagePool

PROTOCOL: Final = 1
MAX_FUNCTIONS: Final = 1000  # those whose calls took the longest
_SUMS: Final = (
    *("calls", "rows", "exchanges", "input_bytes", "output_bytes", "printed_bytes"),
    *("host_calls", "exits", "pages_restored", "peak_memory_bytes"),
)


def snapshot() -> dict[str, Any]:
    """Returns the answer of this process, for JSON. docs/seeing.md has its fields.

    >>> found = snapshot()
    >>> found["pid"] == os.getpid(), found["pools"][0]["name"]
    (True, 'default')
    """
    known = pools()
    totals = [each for each in stats() if each.pool in known]
    return {
        "protocol": PROTOCOL,
        "pid": os.getpid(),
        "program": sys.argv[0] if getattr(sys, "argv", None) else "",
        "seconds": time.monotonic(),
        "backend": "unsafe-inprocess" if in_process() else "micro-vm",
        "pools": [_pool(number, pool) for number, pool in enumerate(known)],
        "functions": [_function(each, known.index(each.pool)) for each in totals[:MAX_FUNCTIONS]],
        "functions_left_off": max(0, len(totals) - MAX_FUNCTIONS),
    }


def _pool(number: int, pool: Pool) -> dict[str, Any]:
    return {
        "name": "default" if pool is Pool.default() else pool.tenant or f"pool {number}",
        "tenant": pool.tenant,
        "size": pool.size,
        "jailed": pool.jail,
        "closed": pool._closed,
        "images": [_image_pool(each) for each in pool._list()],
    }


def _image_pool(image_pool: ImagePool) -> dict[str, Any]:
    live, idle = image_pool.pool_statistics()
    return {
        "image": image_pool.base.digest.hex()[:12],
        "live": live,
        "idle": idle,
        "in_use": max(live - idle, 0),
        "memory_bytes": _memory(image_pool),
        "guest_memory_bytes": image_pool.base.memory,
    }


def _memory(image_pool: ImagePool) -> int | None:
    try:
        return image_pool.memory()
    except HostError:  # /proc is not there
        return None


def _function(totals: CallTotals, pool: int) -> dict[str, Any]:
    return {
        "function": totals.function,
        "pool": pool,
        **{name: getattr(totals, name) for name in _SUMS},
        "errors": dict(totals.errors),
        **{f"{name}_seconds": getattr(totals, f"{name}_seconds") for name in PHASES},
    }
