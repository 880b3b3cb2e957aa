"""What the core notes of calls, in accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import set_report_hook
from udfvm.vmm.failures import exception, thread_error

__all__ = ["batch_of", "last_call", "set_report_hook", "sums"]


@contextmanager
def batch_of(account: Any) -> Iterator[Any]:
    """Gives ``udfvm_account *`` for the parts of a batch, which is a call of an account. Their sum
    is its last call then.
    """
    error = thread_error()
    batch = lib.udfvm_account_begin_batch(account, error)
    if not batch:
        raise exception(error)
    batch = ffi.gc(batch, lib.udfvm_account_close)
    try:
        yield batch
    finally:
        lib.udfvm_account_end_batch(batch)


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
