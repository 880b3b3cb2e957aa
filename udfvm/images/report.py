"""The build report, which an image keeps."""

from __future__ import annotations

import json
import sys
import time

from udfvm import vmm
from udfvm.images.system_calls import syscall_name
from udfvm.static_typing import Any


def build_report(vm: vmm.VM, log: str, seconds: float, **more: Any) -> bytes:
    """Returns the build report, which the image keeps."""
    counted = vm.seal_report()
    report = {
        "created": time.time(),
        "seconds": round(seconds, 3),
        "python": sys.version.split()[0],
        "memory_used": counted.memory_used,
        "syscalls": counted.syscalls,
        "trapped_syscalls": counted.trapped,
        "unknown_syscalls": {
            syscall_name(number): count for number, count in counted.unknown.items()
        },
        "log": log,
        **more,
    }
    return json.dumps(report).encode()
