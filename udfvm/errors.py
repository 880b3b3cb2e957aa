"""Exceptions: one for each failure that a user can cause. All derive from ``Error``.

The text of each says what happened, to which UDF, at which row where that is known, and what to do.

>>> issubclass(CallTimeoutError, CallError) and issubclass(CallError, Error)
True
"""

from __future__ import annotations

import enum
from typing import Final

from udfvm.guest_text import visible


class Code(enum.IntEnum):
    """``enum udfvm_code`` of the core."""

    OK = 0
    NO_KVM = 1
    PERMISSION = 2
    SYSTEM = 3
    ARGUMENT = 4
    IMAGE = 5
    TIMEOUT = 6
    INTERRUPTED = 7
    CRASH = 8
    EXIT = 9
    DEADLOCK = 10
    PROTOCOL = 11
    OUTPUT = 12
    LOG = 13
    INPUT = 14
    FORKED = 15
    BUSY = 16
    HOST_FUNCTION = 17
    HOST_CALLS = 18
    CACHE = 19
    CLOSED = 20


class Error(Exception):
    """Base of everything that udfvm raises on its own account. Errors of all classes can be
    pickled, with their attributes.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[Error], arguments: tuple[object, ...], attributes: dict[str, object]
) -> Error:
    """An error as it was. ``__init__`` is passed over: it would make the text anew, of arguments
    that are not kept.
    """
    error = cls.__new__(cls)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


# ---- Before a call ----


class KVMUnavailableError(Error):
    """``/dev/kvm`` is absent, or is no KVM that micro-VMs can use."""


class KVMPermissionError(KVMUnavailableError):
    """``/dev/kvm`` is there, but this user may not open it."""


class HostError(Error):
    """A system call that the host needs failed. ``errno`` is its error number."""

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class SignatureError(Error, TypeError):
    """A function cannot become a UDF as it is declared."""


class OptionError(Error, ValueError):
    """An option has a value that it cannot have; where it is a function's own option, the cause of
    a ``SignatureError``.
    """


class TypeMappingError(Error, TypeError):
    """A value or column does not fit the declared type.

    Attributes:
        argument, position: name of the argument, and its place from 1 on; None where it is not
            about one.
        row: index of the row in the argument, None where it is a single value or its type.
        reason: what is the matter with it; the whole text, where that says no more.
    """

    argument: str | None = None
    position: int | None = None
    row: int | None = None
    reason: str = ""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.reason = str(self)


class UnknownUDFError(Error, LookupError):
    """No UDF of that name is registered."""


class ImageError(Error):
    """An image is damaged, foreign, or of another version."""


class CacheError(ImageError):
    """A file or directory of the image cache cannot be used: something else is in its place, others
    can write it, or this user cannot.
    """


class BuildError(Error):
    """An image could not be built. ``report`` is what the guest wrote to its standard output and
    error.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(f"{message}\n{report}".rstrip() if report else message)
        self.report = report


class BusyError(Error):
    """All VMs of a pool stayed busy for as long as the call was willing to wait."""


class PoolClosedError(Error):
    """A function was called whose pool is closed."""


class ForkedError(Error):
    """A VM or pool of the parent process was used in a forked child.

    Attributes:
        during_call: the process was forked in the middle of the call, by a host function or a
            signal handler. The parent goes on with it.
    """

    during_call: bool = False


# ---- In a call ----


class CallError(Error):
    """A call failed. The VM is restored; the next call is not affected. Its text, much of which may
    be the guest's, has at most 64 KiB, and control characters in it are written out.

    Attributes:
        udf: name of the UDF, None where the core was used without one.
        row: index of the row in all that the caller passed, or in the batch, where the text says
            so; None where it is not known.
        output: what the function had printed in the call, to its standard output and error in
            order; control characters are written out.
    """

    output: str = ""

    def __init__(self, message: str, udf: str | None = None, row: int | None = None) -> None:
        self.udf = udf
        self._message = message
        self.locate(row)

    def locate(self, row: int | None, *, of_batch: bool = False) -> None:
        """Says which row it was; ``of_batch``: a row of a batch, whose place in all of the rows
        nobody knows.
        """
        where = f"UDF {self.udf!r}" if self.udf else ""
        if row is not None:
            place = f"row {row} of its batch" if of_batch else f"row {row}"
            where = f"{where}, {place}" if where else place
        self.args = (visible(f"{where}: {self._message}" if where else self._message),)
        self.row = row


class UDFError(CallError):
    """The function raised an exception.

    Attributes:
        guest_type: name of the exception's type, qualified unless built in.
        guest_message: its text.
        guest_traceback: the traceback, as Python prints it, from the user's first frame on.
    """

    def __init__(
        self,
        guest_type: str,
        guest_message: str,
        guest_traceback: str,
        udf: str | None = None,
        row: int | None = None,
    ) -> None:
        summary = f"{guest_type}: {guest_message}" if guest_message else guest_type
        super().__init__(
            f"{summary}\n{guest_traceback}".rstrip() if guest_traceback else summary, udf, row
        )
        self.guest_type = guest_type
        self.guest_message = guest_message
        self.guest_traceback = guest_traceback


class CallTimeoutError(CallError, TimeoutError):
    """The call did not end by its deadline (``timeout=``)."""


class OutputLimitError(CallError):
    """The result was larger than ``max_output=``, or than the memory of the function allows.

    Attributes:
        size: bytes of the result, as far as the guest said.
    """

    size = 0


class LogLimitError(CallError):
    """The function wrote more than ``max_log=`` bytes to its standard output and error, and was
    declared ``log="strict"``.
    """


class HostFunctionError(CallError):
    """A host function failed that the function called (``host_functions=``); its exception is the
    cause. The guest learns nothing of it.
    """


class HostCallLimitError(CallError):
    """The function called host functions more often than ``host_calls=`` allows."""


class InputTooLargeError(CallError):
    """The arguments do not fit the input window."""


class GuestCrashError(CallError):
    """The guest program died of a signal (``signal``) at the instruction ``rip``, for touching
    ``address`` where that applies.
    """

    def __init__(
        self, message: str, udf: str | None, row: int | None, signal: int, address: int, rip: int
    ) -> None:
        super().__init__(message, udf, row)
        self.signal = signal
        self.address = address
        self.rip = rip


class GuestExitError(CallError):
    """The guest program ended itself (``os._exit``) with ``status``."""

    def __init__(self, message: str, udf: str | None, row: int | None, status: int) -> None:
        super().__init__(message, udf, row)
        self.status = status


class GuestDeadlockError(CallError):
    """Every thread of the guest program waits for something that can no longer happen."""


class ProtocolError(CallError):
    """The guest broke the rules of its boundary: a reply or hypercall that an honest guest cannot
    make.
    """


KVM_ADVICE = (
    "udfvm runs functions in KVM micro-VMs. On a machine of your own, load the module (modprobe"
    " kvm_intel or kvm_amd) and switch virtualisation on in the firmware; in a virtual machine, ask"
    " for nested virtualisation; in a container, pass the device (--device=/dev/kvm). `udfvm"
    " doctor` shows what was found."
)
PERMISSION_ADVICE = (
    "Add the user to the group that owns the device (usually: sudo usermod -aG kvm $USER, then log"
    " in again), or in a container pass --device=/dev/kvm with that group."
)


# What is raised for a failure that the core reports by its code and a message alone, and advice.
_OF_HOST: Final[dict[Code, tuple[type[Exception], str]]] = {
    Code.NO_KVM: (KVMUnavailableError, f". {KVM_ADVICE}"),
    Code.PERMISSION: (KVMPermissionError, f". {PERMISSION_ADVICE}"),
    Code.IMAGE: (ImageError, ""),
    Code.CACHE: (CacheError, ""),
    Code.BUSY: (
        BusyError,
        "; call from fewer threads at once, or bind the function to a larger pool"
        " (udfvm.Pool(size=...)), or to one that waits longer (wait=...)",
    ),
    Code.CLOSED: (
        PoolClosedError,
        ": bind the function to another, or call before the pool is closed",
    ),
    Code.ARGUMENT: (ValueError, ""),
}
_OF_CALL: Final[dict[Code, tuple[type[CallError], str]]] = {
    Code.TIMEOUT: (CallTimeoutError, "; raise timeout= if it needs longer"),
    Code.DEADLOCK: (GuestDeadlockError, ""),
    Code.PROTOCOL: (ProtocolError, ""),
    Code.LOG: (LogLimitError, "; raise max_log= or print less"),
    Code.HOST_FUNCTION: (HostFunctionError, ""),
    Code.HOST_CALLS: (HostCallLimitError, "; raise host_calls= if it needs more"),
    Code.INPUT: (InputTooLargeError, "; pass fewer or smaller values"),
}


def from_core(
    code: int,
    message: str,
    *,
    errno: int = 0,
    signal: int = 0,
    address: int = 0,
    rip: int = 0,
    udf: str | None = None,
    row: int | None = None,
) -> BaseException:
    """The exception for a failure that the core reported; ``KeyboardInterrupt`` for an interrupted
    call.

    >>> from_core(Code.TIMEOUT, "the call did not end within 1 s", udf="score")
    CallTimeoutError("UDF 'score': the call did not end within 1 s; ...")
    """
    if code in _OF_HOST:
        cls, advice = _OF_HOST[Code(code)]
        return cls(message + advice)
    if code in _OF_CALL:
        of_call, advice = _OF_CALL[Code(code)]
        return of_call(message + advice, udf, row)
    failure: BaseException
    match code:
        case Code.INTERRUPTED:
            failure = KeyboardInterrupt()
        case Code.CRASH:
            failure = GuestCrashError(message, udf, row, signal, address, rip)
        case Code.EXIT:
            failure = GuestExitError(message, udf, row, signal)
        case Code.OUTPUT:
            advice = "; raise max_output= or return less"
            failure = OutputLimitError(message + advice, udf, row)
            failure.size = address
        case Code.FORKED:
            failure = ForkedError(f"{message}; make pools and VMs after the fork")
            failure.during_call = signal != 0
        case _:
            failure = HostError(message, errno)
    return failure
