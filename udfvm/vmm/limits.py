"""Limits of calls, as the core takes them."""

from __future__ import annotations

from udfvm.limits import Limits
from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import BoundHostFunctions, BoundLog, label_of
from udfvm.vmm.failures import exception, thread_error


def first_call(limits: Limits) -> Any:
    """Returns ``uint64_t *``, the nanoseconds that imports of a first call may take."""
    return ffi.new("uint64_t *", limits.build_timeout_ns or (1 << 64) - 1)


def account_in(accounts: dict[str, Any], name: str) -> Any:
    """Returns ``udfvm_account *`` for the calls of one function. Its sums are in that of its name
    in ``accounts``, which is made where there is none.
    """
    whole = accounts.get(name)
    account = _account(accounts.setdefault(name, _account()) if whole is None else whole)
    lib.udfvm_account_set_label(account, label_of(name))
    return account


def _account(whole: Any = None) -> Any:
    error = thread_error()
    account = lib.udfvm_account_create(ffi.NULL if whole is None else whole, error)
    if not account:
        raise exception(error)
    return ffi.gc(account, lib.udfvm_account_close)


def core_limits(
    limits: Limits,
    host_functions: BoundHostFunctions | None = None,
    log: BoundLog | None = None,
    reply_frame: int = 0,
    first_call: Any = None,
    account: Any = None,
) -> Any:
    """Returns ``struct udfvm_limits *``, to be made once and used for many calls. Host functions
    and log must outlive it, and so must ``account``, where calls are noted, and ``first_call``
    (``uint64_t *``): nanoseconds for a call that imports, before one has ended. ``reply_frame``:
    bytes that replies have beside the result.
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
            "first_call_ns": ffi.NULL if first_call is None else first_call,
            "account": ffi.NULL if account is None else account,
        },
    )
