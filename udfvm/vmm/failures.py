"""The exceptions for failures that the core reports in ``struct udfvm_error``."""

from __future__ import annotations

import errno
import os
from _thread import _local
from pathlib import Path

from udfvm import errors
from udfvm.static_typing import Any
from udfvm.vmm._core import ffi
from udfvm.vmm.callbacks import take_host_failure, take_interruption

_thread = _local()


def thread_error() -> Any:
    """Returns this thread's ``struct udfvm_error``."""
    try:
        return _thread.error
    except AttributeError:
        _thread.error = ffi.new("struct udfvm_error *")
        return _thread.error


def exception(error: Any, udf: str | None = None, row: int | None = None) -> BaseException:
    message = ffi.string(error.message).decode("utf-8", "replace")
    # Both in any case: otherwise their frames would stay alive.
    interruption, cause = take_interruption(), take_host_failure()
    if interruption is not None and error.code in (
        errors.Code.INTERRUPTED,
        errors.Code.HOST_FUNCTION,
    ):
        return interruption
    if cause is not None and (
        not isinstance(cause, Exception) or isinstance(cause, errors.ProtocolError)
    ):
        return cause  # Ctrl-C in a host function, or arguments of the wrong types
    failure = errors.from_core(
        error.code,
        message,
        errno=error.os_errno,
        signal=error.signal,
        address=error.address,
        rip=error.rip,
        udf=udf,
        row=row,
    )
    failure.__cause__ = cause
    from udfvm.vmm.guest_error import add_output

    return add_output(failure)


def exception_at(address: int, udf: str, row: int | None = None) -> BaseException:
    """Returns the exception for a ``struct udfvm_error`` that C code of this process filled."""
    return exception(ffi.cast("struct udfvm_error *", address), udf, row)


def file_exception(error: Any, path: Path) -> BaseException:
    if error.code == errors.Code.SYSTEM and error.os_errno == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return exception(error)
