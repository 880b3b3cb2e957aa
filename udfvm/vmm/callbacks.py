"""Callbacks of the core in Python: file access of guests, host functions, output of guests, and
whether a signal ends a call.
"""

from __future__ import annotations

import errno
import itertools
import os
from _thread import _local
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udfvm.static_typing import TYPE_CHECKING, Any, Final, Protocol
from udfvm.tuples import NamedTuple
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.cancellation import cancellation_of_thread

if TYPE_CHECKING:

    class Files(Protocol):
        """Read-only files for guests. Paths are absolute. Methods raise OSError, and the guest gets
        its ``errno``.
        """

        def open(self, path: bytes) -> tuple[int, os.stat_result]:
            """Opens a regular file or directory. Returns a handle and its status."""

        def stat(self, path: bytes, follow: bool) -> os.stat_result:
            """Returns the status of a path."""

        def read_into(self, handle: int, offset: int, buffer: memoryview) -> int:
            """Reads into the buffer. Returns the bytes read; 0 at the end."""

        def close(self, handle: int) -> None:
            """Closes a handle."""

        def list(self, path: bytes) -> list[tuple[bytes, int, int]]:
            """Returns the entries of a directory, in a stable order: name, inode, type (as in
            ``dirent.d_type``).
            """

        def readlink(self, path: bytes) -> bytes:
            """Returns the target of a symbolic link."""

    class HostServer(Protocol):
        """Functions of the host that guests may call."""

        def call(self, name: bytes, arguments: bytes) -> bytes | None:
            """Calls a host function with arguments that the guest wrote. Returns the reply; None if
            there is no such function. An exception ends the guest's call.
            """


class BoundFiles(NamedTuple):
    """``struct udfvm_files *`` and the objects that keep its context alive."""

    structure: Any
    context: Any


def bind_files(files: Files | None) -> BoundFiles | None:
    """Makes a file server callable by the core."""
    if files is None:
        return None
    context = ffi.new_handle(files)
    structure = ffi.new(
        "struct udfvm_files *",
        {
            "context": context,
            "open": lib.udfvm_python_open,
            "stat": lib.udfvm_python_stat,
            "read": lib.udfvm_python_read,
            "close": ffi.addressof(lib, "udfvm_python_close_beside"),
            "list": lib.udfvm_python_list,
            "readlink": lib.udfvm_python_readlink,
        },
    )
    return BoundFiles(structure, context)


def _failed(_kind: object, exception: BaseException, _traceback: object) -> int:
    """Returns the result of a callback that raised. An exception that is not an OSError comes from
    a signal handler: it ends the call.
    """
    if isinstance(exception, OSError):
        return -(exception.errno or errno.EIO)
    _interruption.exception = exception
    _interruption.told = False
    return -errno.EINTR


def _fill(target: Any, status: os.stat_result) -> None:
    target.device = status.st_dev & 0xFFFFFFFFFFFFFFFF
    target.inode = status.st_ino
    target.size = status.st_size
    target.mode = status.st_mode
    target.links = min(status.st_nlink, 0xFFFFFFFF)
    target.uid = status.st_uid
    target.gid = status.st_gid
    target.mtime_seconds, target.mtime_nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)


@ffi.def_extern(onerror=_failed)
def udfvm_python_open(context: Any, path: Any, status: Any) -> int:
    files: Files = ffi.from_handle(context)
    handle, found = files.open(ffi.string(path))
    _fill(status, found)
    return handle


@ffi.def_extern(onerror=_failed)
def udfvm_python_stat(context: Any, path: Any, follow: int, status: Any) -> int:
    files: Files = ffi.from_handle(context)
    _fill(status, files.stat(ffi.string(path), bool(follow)))
    return 0


@ffi.def_extern(onerror=_failed)
def udfvm_python_read(context: Any, handle: int, offset: int, buffer: Any, length: int) -> int:
    files: Files = ffi.from_handle(context)
    return files.read_into(handle, offset, memoryview(ffi.buffer(buffer, length))) if length else 0


@ffi.def_extern(onerror=_failed)
def udfvm_python_close(context: Any, handle: int) -> int:
    files: Files = ffi.from_handle(context)
    files.close(handle)
    return 0


@ffi.def_extern(onerror=_failed)
def udfvm_python_list(context: Any, path: Any, first: int, buffer: Any, length: int) -> int:
    files: Files = ffi.from_handle(context)
    target = memoryview(ffi.buffer(buffer, length)) if length else memoryview(b"")
    used = 0
    for name, inode, kind in files.list(ffi.string(path))[first:]:
        size = (12 + len(name) + 7) & ~7  # struct udfvm_directory_entry, padded to 8 bytes
        if used + size > length:
            break
        record = (
            inode.to_bytes(8, "little")
            + size.to_bytes(2, "little")
            + bytes((kind, len(name)))
            + name
        )
        target[used : used + size] = record.ljust(size, b"\0")
        used += size
    return used


@ffi.def_extern(onerror=_failed)
def udfvm_python_readlink(context: Any, path: Any, buffer: Any, length: int) -> int:
    files: Files = ffi.from_handle(context)
    target = files.readlink(ffi.string(path))[:length]
    ffi.memmove(buffer, target, len(target))
    return len(target)


# ---- Host functions ----


class BoundHostFunctions(NamedTuple):
    """``struct udfvm_host_functions *`` and the objects that keep its context alive."""

    structure: Any
    context: Any

    @property
    def address(self) -> int:
        """Address of the structure, for C code of this process."""
        return int(ffi.cast("uintptr_t", self.structure))


def bind_host_functions(server: HostServer, max_calls: int) -> BoundHostFunctions:
    """Makes host functions callable by the core."""
    context = ffi.new_handle(server)
    values = {"context": context, "call": lib.udfvm_python_host_call, "max_calls": max_calls}
    return BoundHostFunctions(ffi.new("struct udfvm_host_functions *", values), context)


_MAX_FAILURE: Final = 255


class _HostFailure(_local):
    """The exception of a host function in a call of this thread, until the call has ended and
    raises it.
    """

    exception: BaseException | None = None


_host_failure: Final = _HostFailure()


def take_host_failure() -> BaseException | None:
    """Returns the exception that ended the call, if the core reports a host function."""
    exception, _host_failure.exception = _host_failure.exception, None
    return exception


def _write_text(exception: BaseException, failure: Any) -> None:
    """Writes the text of an exception into a buffer for 255 bytes."""
    name = type(exception).__name__
    try:
        text = f"{name}: {exception}"
    except Exception:  # noqa: BLE001 - the text of the program's own exception may fail
        text = name
    message = text.encode("utf-8", "replace")[:_MAX_FAILURE]
    ffi.memmove(failure, message + b"\0", len(message) + 1)


def _ends_call(result: int) -> Callable[[object, BaseException, Any], int]:
    """Makes what keeps the exception of a callback: it ends the call, which raises it. A signal's
    handler may raise ahead of the callback's first statement, so no ``try`` of its own will do.
    """

    def keep(_kind: object, exception: BaseException, traceback: Any) -> int:
        _host_failure.exception = exception.with_traceback(traceback)
        _write_text(exception, traceback.tb_frame.f_locals["failure"])
        return result

    return keep


@ffi.def_extern(onerror=_ends_call(-2))  # UDFVM_HOST_FUNCTION_FAILED
def udfvm_python_host_call(
    context: Any, name: Any, arguments: Any, length: int, reply: Any, capacity: int, failure: Any
) -> int:
    server: HostServer = ffi.from_handle(context)
    answer = server.call(ffi.string(name), bytes(ffi.buffer(arguments, length)) if length else b"")
    if answer is None:
        return -1  # UDFVM_NO_HOST_FUNCTION
    if len(answer) <= capacity:
        ffi.memmove(reply, answer, len(answer))
    return len(answer)


# ---- What guests print ----

Printed = list[tuple[int, bytes]]  # streams, 1 and 2, and what was written to each, in order


class BoundLog(NamedTuple):
    """``struct udfvm_log_sink *`` and the objects that keep its context alive."""

    structure: Any
    context: Any

    @property
    def address(self) -> int:
        """Address of the structure, for C code of this process."""
        return int(ffi.cast("uintptr_t", self.structure))


def bind_log(take: Callable[[Printed], object]) -> BoundLog:
    """Makes a sink callable by the core. It takes what a guest prints, at the end of each exchange.
    An exception fails the call.
    """
    context = ffi.new_handle(take)
    values = {"context": context, "take": ffi.addressof(lib, "udfvm_python_log_beside")}
    return BoundLog(ffi.new("struct udfvm_log_sink *", values), context)


class _Output(_local):
    """The output of a failed call of this thread, until an exception takes it."""

    text = b""


_output: Final = _Output()


def take_output() -> bytes:
    """Returns the output of the call that just failed on this thread, both streams in order."""
    text, _output.text = _output.text, b""
    return text


@ffi.def_extern(onerror=_ends_call(-1))
def udfvm_python_log(context: Any, log: Any, failed: int, failure: Any) -> int:
    text = b""
    try:
        text = bytes(ffi.buffer(log.text, log.length)) if log.length else b""
        printed: Printed = []
        start = log.given
        for index in range(log.part_count if start < log.length else 0):
            part = log.parts[index]
            if part.end > start:
                printed.append((part.stream, text[start : part.end]))
                start = part.end
        if printed:
            ffi.from_handle(context)(printed)
    except BaseException:
        failed = 1
        raise
    finally:
        _output.text = text if failed else b""  # only now: calls made meanwhile set it, too
    return 0


# ---- Reports of calls ----

_counter: Final = itertools.count(1)
_labels: Final[dict[str, int]] = {}  # of accounts, by the function's name
_names: Final[dict[int, str]] = {}


def label_of(name: str) -> int:
    """Returns the label of accounts with the calls of functions of this name."""
    label = _labels.get(name) or _labels.setdefault(name, next(_counter))
    _names[label] = name
    return label


class _ReportHook:
    """What takes the reports of calls: a function's name, and ``struct udfvm_call_report *``."""

    take: Callable[[str, Any], object] | None = None


def set_report_hook(take: Callable[[str, Any], object] | None) -> None:
    """Sets what is called after each call of this process, on the thread that made it. It must not
    raise, and not keep the report. None: nothing is.
    """
    _ReportHook.take = take
    hook = ffi.NULL if take is None else ffi.addressof(lib, "udfvm_python_report_beside")
    lib.udfvm_set_report_hook(hook)


def _not_told(_kind: object, exception: BaseException, _traceback: object) -> int:
    return int(isinstance(exception, KeyboardInterrupt))


@ffi.def_extern(onerror=_not_told)
def udfvm_python_report(label: int, report: Any) -> int:
    """Calls the hook. Returns 1 where Ctrl-C ended it."""
    take, name = _ReportHook.take, _names.get(label)
    if take is not None and name is not None:
        with failures_kept():
            take(name, report)
    return 0


@contextmanager
def failures_kept() -> Iterator[None]:
    """What a call of this thread left for its error stays, whatever is called within it."""
    kept = _host_failure.exception, _output.text, _interruption.exception, _interruption.told
    try:
        yield
    finally:
        _host_failure.exception, _output.text, _interruption.exception, _interruption.told = kept


# ---- Signals ----


class _Interruption(_local):
    """The exception of a signal handler in a call of this thread, until the call has ended and
    raises it. A call of a connection that knows no Python raises nothing: it ends, and no other
    call does so for the exception that stays.
    """

    exception: BaseException | None = None
    told: bool = True  # to the core, which ends the call


_interruption: Final = _Interruption()


def take_interruption() -> BaseException | None:
    """Returns the exception that ended the call, if the core reports an interruption."""
    exception, _interruption.exception = _interruption.exception, None
    _interruption.told = True
    return exception


def keep_interruption(exception: BaseException) -> None:
    """Keeps what ended the call that this thread is in, which raises it."""
    _interruption.exception = exception
    _interruption.told = True


def _interrupted(_kind: object, exception: BaseException, _traceback: object) -> int:
    keep_interruption(exception)
    return 1


@ffi.def_extern(onerror=_interrupted)
def udfvm_python_interrupted() -> int:
    """Returns 1 where the call has to end: the interrupt hook of the core. Python runs signal
    handlers when Python code runs next, which is here. An exception of a handler ends the call, and
    so does one of a handler in an earlier callback, and a cancellation by another thread.
    """
    news, _interruption.told = not _interruption.told, True
    return int(news or bool(cancellation_of_thread()))


lib.udfvm_set_interrupt_hook(ffi.addressof(lib, "udfvm_python_interrupted_beside"))
