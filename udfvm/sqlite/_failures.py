"""Exceptions for failures in SQL: those that a call in Python would raise."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Final

from udfvm import errors
from udfvm.guest_text import visible
from udfvm.sqlite._extension import Cause, ffi, member_type

_IN_CALLS: Final[dict[int, type[errors.CallError]]] = {
    Cause.TIMEOUT: errors.CallTimeoutError,
    Cause.PROTOCOL: errors.ProtocolError,
    Cause.INPUT: errors.InputTooLargeError,
}
_BEFORE_CALLS: Final[dict[int, type[errors.Error]]] = {
    Cause.TYPE: errors.TypeMappingError,
    Cause.BUILD: errors.BuildError,
    Cause.SIGNATURE: errors.SignatureError,
    Cause.UNKNOWN: errors.UnknownUDFError,
    Cause.OTHER: errors.SQLConnectionError,
    Cause.OPTION: errors.OptionError,
    Cause.POLICY: errors.PolicyError,
}
# Bytes of ``udfvm_sqlite_renewal.message``, without the NUL at its end.
_MAX_RENEWAL_TEXT: Final = ffi.sizeof(member_type("udfvm_sqlite_renewal", "message")) - 1


class _RenewalFailure(threading.local):
    """Why a function could not be renewed, kept for the code that makes the statement's exception a
    moment later.
    """

    text: str = ""
    exception: BaseException | None = None


_renewal_failure: Final = _RenewalFailure()


def keep_renewal_failure(exception: BaseException) -> bytes:
    """Keeps why a function could not be renewed. Returns the text for the extension."""
    text = (str(exception) or type(exception).__name__).encode("utf-8", "backslashreplace")
    _renewal_failure.text = text[:_MAX_RENEWAL_TEXT].decode("utf-8", "ignore")
    _renewal_failure.exception = exception.with_traceback(None)
    return _renewal_failure.text.encode()


def forget_renewal_failure() -> None:
    _renewal_failure.exception = None


def _take_renewal_failure(text: str) -> BaseException | None:
    exception, _renewal_failure.exception = _renewal_failure.exception, None
    return exception if text == _renewal_failure.text else None


def _failure_callback(wrap: Callable[[str], Exception] | None) -> Any:
    """Returns the callback for failed calls.

    ``wrap`` makes the exception of an SQL error from its text. Without it only the program's own
    exceptions become exceptions; other failures stay SQL errors.
    """

    def failed(failure: Any, made: Any) -> int:
        exception = exception_of(failure)
        if wrap is None and failure.text and isinstance(exception, Exception):
            return 0
        # Others are the program's own.
        if wrap is not None and failure.text and isinstance(exception, Exception):
            text = visible(ffi.string(failure.text)).rstrip()
            cause, exception = exception, wrap(text)
            if isinstance(cause, errors.CallError):
                cause.args = (text,)
            exception.__cause__ = cause
        return _give(exception, made)

    def interrupted(_kind: object, exception: BaseException, traceback: Any) -> int:
        """A signal's handler raised: that is the program's own, too."""
        return _give(exception, traceback.tb_frame.f_locals["made"])

    return ffi.callback(member_type("udfvm_sqlite_failures", "failed"), failed, onerror=interrupted)


def _give(exception: BaseException, made: Any) -> int:
    for field, value in (("type", type(exception)), ("value", exception)):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        setattr(made, field, ffi.cast("void *", id(value)))
    return 1


def exception_of(failure: Any) -> BaseException:
    """Returns the exception that a call in Python would raise."""
    from udfvm import vmm
    from udfvm.vmm import guest_error

    udf, row = _text(failure.function), None if failure.row < 0 else int(failure.row)
    if failure.cause in _IN_CALLS:
        return guest_error.add_output(_IN_CALLS[failure.cause](_text(failure.detail), udf, row))
    if failure.cause in _BEFORE_CALLS:
        return _before_call(failure, row)
    if failure.error:
        renewal = _take_renewal_failure(_text(failure.detail)) if failure.detail else None
        return renewal or vmm.exception_at(int(ffi.cast("uintptr_t", failure.error)), udf, row)
    length = failure.report_length
    report = (
        guest_error.excerpt(memoryview(ffi.buffer(failure.report, length)).toreadonly())
        if length
        else b""
    )
    exception = guest_error.parse(report, udf, rows=0)
    exception.locate(row)
    return exception


def _text(characters: Any) -> str:
    return str(ffi.string(characters).decode("utf-8", "replace"))


def _before_call(failure: Any, row: int | None) -> Exception:
    from udfvm.vmm import guest_error

    exception = _BEFORE_CALLS[failure.cause](visible(ffi.string(failure.text)))
    if isinstance(exception, errors.TypeMappingError):
        exception.row = row
        if failure.position:
            position, argument = int(failure.position), _text(failure.argument)
            exception.position, exception.argument = position, argument
            exception._udf = _text(failure.function)
            exception.reason = _text(failure.detail).removeprefix(
                f"argument '{argument}' (position {position}) "
            )
    return guest_error.add_output(exception)


def _apsw_error(text: str) -> Exception:
    """Returns an SQL error as apsw raises it."""
    import apsw

    error: Any = apsw.SQLError(text)
    error.result = error.extendedresult = int(apsw.SQLITE_ERROR)
    error.error_offset = -1
    return error


# Never freed: connections may be closed while the interpreter ends.
failed_in_apsw: Final = _failure_callback(_apsw_error)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(failed_in_apsw))
failed_elsewhere: Final = _failure_callback(None)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(failed_elsewhere))
