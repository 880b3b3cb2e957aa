"""What the core notes of calls, in accounts."""

from __future__ import annotations

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import set_report_hook

__all__ = ["last_call", "set_report_hook", "sums"]


def last_call(account: Any) -> Any:
    """Returns ``struct udfvm_call_report *`` of the account's last call; None if there was none."""
    report = ffi.new("struct udfvm_call_report *")
    lib.udfvm_account_last(account, report)
    return report if report.number else None


def sums(account: Any) -> Any:
    """Returns ``struct udfvm_call_sums *`` of all calls of the account."""
    found = ffi.new("struct udfvm_call_sums *")
    lib.udfvm_account_sums(account, found)
    return found
