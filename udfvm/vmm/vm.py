"""A micro-VM: its calls and replies, and booting it until it is sealed."""

from __future__ import annotations

from types import TracebackType

from udfvm import errors
from udfvm.guest_text import visible
from udfvm.limits import Limits
from udfvm.static_typing import TYPE_CHECKING, Any, Self
from udfvm.tuples import NamedTuple
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import bind_files
from udfvm.vmm.cancellation import Cancellation
from udfvm.vmm.failures import exception, thread_error
from udfvm.vmm.guest_error import excerpt
from udfvm.vmm.image import Image
from udfvm.vmm.limits import core_limits
from udfvm.vmm.system import Jail

if TYPE_CHECKING:
    from udfvm.vmm.callbacks import Files


def copied(data: Any, status: int) -> bytes:
    """Returns a copy of a reply in guest memory; of an error's, only the bytes that are used."""
    if status:
        return excerpt(memoryview(data))
    return bytes(data)


class Reply(NamedTuple):
    """The reply of a guest. ``data`` is guest memory. It is valid until the VM is used again, and
    the guest does not run meanwhile.
    """

    status: int
    sealed: bool
    data: memoryview
    log: bytes


class Statistics(NamedTuple):
    """Counters of a VM since it was opened."""

    calls: int
    restores: int
    hot_pages: int
    pages_copied: int
    memory: int
    exits: int


class VM:
    """A micro-VM that was taken from a pool, or opened by itself."""

    __slots__ = ("_cancellation", "_error", "_files", "_handle", "_held", "_image", "_reply")

    def __init__(
        self, handle: Any, image: Image | None, files: object = None, held: Any = None
    ) -> None:
        self._handle = handle
        self._held = (
            held  # struct udfvm_held *, which goes back to its pool with this object if not before
        )
        self._image = image
        self._files = files
        self._cancellation: Cancellation | None = None
        self._reply = ffi.new("struct udfvm_reply *")
        self._error = ffi.new("struct udfvm_error *")

    @classmethod
    def open(cls, image: Image, files: Files | None = None) -> VM:
        """Opens a VM outside of any pool. The caller must close it."""
        error = thread_error()
        bound = bind_files(files)
        handle = lib.udfvm_vm_open(image._handle, bound.structure if bound else ffi.NULL, error)
        if not handle:
            raise exception(error)
        return cls(handle, image, bound)

    @property
    def address(self) -> int:
        """Address of the core's object, for C code of this process."""
        return int(ffi.cast("uintptr_t", self._handle))

    def watch(self, cancellation: Cancellation) -> None:
        """Lets a cancellation end the VM's calls until it is given back to its pool."""
        self._cancellation = cancellation  # the core reads its flag
        watch = ffi.addressof(lib, "udfvm_python_cancelled")
        lib.udfvm_vm_set_watch(self._handle, watch, cancellation.flag)

    def tell(self, rows: int, *, whole: bool = False) -> None:
        """Says for the call's report how many rows the next exchange has, beside those of ROW. It
        is the ``whole`` call, if what follows its reply is reading that.
        """
        lib.udfvm_vm_tell(self._handle, rows, whole)

    def call(
        self,
        request: int,
        data: bytes | memoryview | None,
        limits: Any,
        udf: str | None = None,
        length: int | None = None,
    ) -> Reply:
        """Makes one exchange: it begins a call, or continues one whose VM was not restored.

        With ``data`` None the request is the ``length`` bytes written to ``input``. Raises the
        exceptions of a failed call; the VM must be restored then.
        """
        code = self._run(request, data, limits, length)
        if code:
            raise exception(self._error, udf)
        reply = self._reply
        return Reply(
            reply.status,
            bool(reply.sealed),
            (
                memoryview(ffi.buffer(reply.data, reply.length)).toreadonly()
                if reply.length
                else memoryview(b"")
            ),
            bytes(ffi.buffer(reply.log, reply.log_length)) if reply.log_length else b"",
        )

    def _run(
        self, request: int, data: bytes | memoryview | None, limits: Any, length: int | None = None
    ) -> int:
        handle = self._handle
        if self._cancellation:  # the core looks from time to time, and short exchanges end before
            raise KeyboardInterrupt
        if data is None:
            source, size = ffi.NULL, length or 0
        else:
            source, size = ffi.from_buffer(data), len(data)
        return int(
            lib.udfvm_vm_call(handle, request, source, size, limits, self._reply, self._error)
        )

    def fresh_call(
        self,
        request: int,
        data: bytes | memoryview | None,
        limits: Any,
        udf: str | None = None,
        length: int | None = None,
    ) -> tuple[int, bytes]:
        """Makes a whole call: exchange, copy of the reply, restore. Returns the status and the
        reply.
        """
        reply = self._reply
        code = self._run(request, data, limits, length)
        failure = exception(self._error, udf) if code else None
        result = (
            copied(ffi.buffer(reply.data, reply.length), reply.status)
            if not code and reply.length
            else b""
        )
        status = reply.status
        if lib.udfvm_vm_restore(self._handle, self._error) and failure is None:
            failure = exception(self._error, udf)
        if failure is not None:
            raise failure
        return status, result

    @property
    def input_capacity(self) -> int:
        """Bytes of the largest request."""
        return int(lib.udfvm_vm_input_capacity(self._handle))

    def input(self, size: int) -> memoryview:
        """Returns part of the input window, for writing a request in place: every byte that is
        sent, and at most these.

        The bytes count as written from now on, whatever happens: the next call finds nothing of
        them. They must not be used after the call.
        """
        address = lib.udfvm_vm_input(self._handle, size, self._error)
        if not address:
            raise exception(self._error)
        return memoryview(ffi.buffer(address, size))

    def log(self) -> str:
        """Returns what the guest wrote in the last exchange, even if that failed."""
        reply = self._reply
        return visible(ffi.buffer(reply.log, reply.log_length)) if reply.log_length else ""

    def restore(self) -> None:
        """Restores the sealed state."""
        if lib.udfvm_vm_restore(self._handle, self._error):
            raise exception(self._error)

    def seal(self, descriptor: int, metadata: bytes, key: str | None = None) -> None:
        """Writes the image of a VM whose guest asked to be sealed. ``key`` is its name in the
        cache.
        """
        name = ffi.NULL if key is None else bytes.fromhex(key)
        if lib.udfvm_vm_seal_named(
            self._handle, descriptor, name, metadata, len(metadata), self._error
        ):
            raise exception(self._error)

    def seal_report(self) -> SealReport:
        """Returns what the guest kernel counted until its seal."""
        info = lib.udfvm_vm_seal_info(self._handle)
        unknown = {info.unknown[i].number: info.unknown[i].count for i in range(info.unknown_count)}
        return SealReport(info.memory_used, info.syscalls, info.trapped, unknown)

    def statistics(self) -> Statistics:
        """Returns the VM's counters."""
        statistics = ffi.new("struct udfvm_vm_statistics *")
        lib.udfvm_vm_statistics(self._handle, statistics)
        return Statistics(
            statistics.calls,
            statistics.restores,
            statistics.hot_pages,
            statistics.pages_copied,
            statistics.memory,
            statistics.exits,
        )

    def close(self) -> None:
        """Destroys the VM. It must not belong to a pool."""
        handle, self._handle = self._handle, ffi.NULL
        lib.udfvm_vm_close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class SealReport(NamedTuple):
    """The counters of the guest kernel: bytes of memory in use; system calls served; how many of
    them by a trap; and those answered with ENOSYS, by number.
    """

    memory_used: int
    syscalls: int
    trapped: int
    unknown: dict[int, int]


def boot(
    kernel: bytes,
    payload: bytes,
    memory: int,
    window: int,
    files: Files | None,
    limits: Limits,
    scratch: int = 0,
    jail: Jail | None = None,
) -> tuple[VM, str]:
    """Boots a program until it seals, in a process of its own if ``jail`` says so. Returns the VM,
    which the caller seals and closes, and its log.

    Raises BuildError, with the log, if the program does not seal. If memory ran out, the log stays
    out of the text: it has what failed in the interpreter for that reason.
    """
    error = thread_error()
    config = ffi.new(
        "struct udfvm_config *",
        {"memory": memory, "input_window": window, "output_window": window, "scratch": scratch},
    )
    log = ffi.new("char **")
    bound = bind_files(files)
    served = bound.structure if bound else ffi.NULL
    program = (config, kernel, len(kernel), payload, len(payload), served, core_limits(limits))
    if jail is None:
        handle = lib.udfvm_vm_boot(*program, log, error)
    else:
        handle = lib.udfvm_vm_boot_jailed(*program, jail.path, log, error)
    text = ""
    if log[0]:
        text = visible(ffi.string(log[0]))
        lib.free(log[0])
    if handle:
        return VM(handle, None, bound), text
    failure = exception(error)
    if isinstance(failure, errors.CallError | errors.HostError):
        raised = errors.BuildError(
            f"the base image could not be built: {failure}",
            "" if "out of memory: " in str(failure) else text,
        )
        raised.report = text
        raise raised from failure
    raise failure
