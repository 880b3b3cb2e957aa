"""Limits of calls, as the core takes them."""

from __future__ import annotations

from udfvm.limits import Limits
from udfvm.static_typing import Any
from udfvm.vmm._core import ffi
from udfvm.vmm.callbacks import BoundHostFunctions, BoundLog


def core_limits(
    limits: Limits,
    host_functions: BoundHostFunctions | None = None,
    log: BoundLog | None = None,
    reply_frame: int = 0,
) -> Any:
    """Returns ``struct udfvm_limits *``, to be made once and used for many calls. Host functions
    and log must outlive it. ``reply_frame``: bytes that replies have beside the result.
    """
    return ffi.new(
        "struct udfvm_limits *",
        {
            "timeout_ns": limits.timeout_ns,
            "max_output": limits.max_output,
            "reply_frame": reply_frame,
            "max_log": limits.max_log,
            "files": limits.files,
            "deterministic": limits.deterministic,
            "host_functions": host_functions.structure if host_functions else ffi.NULL,
            "log_sink": log.structure if log else ffi.NULL,
            "strict_log": limits.log == "strict",
        },
    )
