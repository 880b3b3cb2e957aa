"""The core, ``libudfvm.so``, for Python: thin objects around the C interface of ``api.h``.

Everything here may be used from several threads, a VM by one at a time. The interpreter's lock is
released while a VM runs.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from udfvm import errors
from udfvm.codec.guest_error import add_output
from udfvm.codec.guest_text import visible
from udfvm.limits import Limits
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.borrowed import BorrowedReplies
from udfvm.vmm.callbacks import (
    BoundHostFunctions,
    BoundLog,
    Files,
    bind_files,
    take_host_failure,
    take_interruption,
)

if TYPE_CHECKING:
    from udfvm.call.windows import Windows

REQUEST_LOAD: Final = 2
REQUEST_ROW: Final = 3
REQUEST_BATCH: Final = 4
STATUS_OK: Final = 0
STATUS_ERROR: Final = 1
_ROOM: Final = 256  # bytes that replies to rows mostly fit in

_thread = threading.local()


def _error() -> Any:
    """This thread's ``struct udfvm_error``."""
    try:
        return _thread.error
    except AttributeError:
        _thread.error = ffi.new("struct udfvm_error *")
        return _thread.error


class _PoolReply(NamedTuple):
    """A ``struct udfvm_pool_reply`` and a view of its output, which has room for ``_ROOM``
    bytes.
    """

    reply: Any
    output: Any


def _taken_reply() -> _PoolReply:
    """This thread's reply. Taken, until it is put back: signal handlers and host functions make
    calls, too.
    """
    kept: _PoolReply | None = getattr(_thread, "reply", None)
    _thread.reply = None
    if kept is not None:
        return kept
    output = ffi.new("char[]", _ROOM)
    return _PoolReply(
        ffi.new("struct udfvm_pool_reply *", {"output": output, "capacity": _ROOM}),
        ffi.buffer(output),
    )


def _exception(error: Any, udf: str | None = None, row: int | None = None) -> BaseException:
    message = ffi.string(error.message).decode("utf-8", "replace")
    interruption, cause = (
        take_interruption(),
        take_host_failure(),
    )  # always: or their frames would stay alive
    if interruption is not None and error.code in (
        errors.Code.INTERRUPTED,
        errors.Code.HOST_FUNCTION,
    ):
        return interruption
    if cause is not None and (
        not isinstance(cause, Exception) or isinstance(cause, errors.ProtocolError)
    ):
        return cause  # Ctrl-C in a host function; arguments that are not what the function takes
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
    return add_output(failure)


def exception_at(address: int, udf: str, row: int | None = None) -> BaseException:
    """The exception for the ``struct udfvm_error`` at an address, which C code of this process
    filled.
    """
    return _exception(ffi.cast("struct udfvm_error *", address), udf, row)


def address_of(structure: Any) -> int:
    """The address of a structure, for C code of this process."""
    return int(ffi.cast("uintptr_t", structure))


def core_limits(
    limits: Limits, host_functions: BoundHostFunctions | None = None, log: BoundLog | None = None
) -> Any:
    """``struct udfvm_limits *`` for some limits; to be made once and used for many calls. Host
    functions and log must outlive it.
    """
    return ffi.new(
        "struct udfvm_limits *",
        {
            "timeout_ns": limits.timeout_ns,
            "max_output": limits.max_output,
            "max_log": limits.max_log,
            "files": limits.files,
            "deterministic": limits.deterministic,
            "host_functions": host_functions.structure if host_functions else ffi.NULL,
            "log_sink": log.structure if log else ffi.NULL,
            "strict_log": limits.log == "strict",
        },
    )


def _copied(data: Any, status: int) -> bytes:
    """A reply, copied out of guest memory; of an error's what there is to say of it."""
    if status:
        from udfvm.codec import guest_error

        return guest_error.excerpt(memoryview(data))
    return bytes(data)


class System(NamedTuple):
    """What ``/dev/kvm`` is here."""

    kvm_api_version: int
    is_pvm: bool
    vendor: str
    sync_regs: bool
    manual_dirty_log: bool
    xcrs: bool
    xcr0: int


def probe() -> System:
    """Looks at ``/dev/kvm``. Raises KVMUnavailableError or KVMPermissionError."""
    system, error = ffi.new("struct udfvm_system *"), _error()
    if lib.udfvm_system_probe(system, error):
        raise _exception(error)
    return System(
        system.kvm_api_version,
        bool(system.is_pvm),
        ffi.string(system.vendor).decode(),
        bool(system.sync_regs),
        bool(system.manual_dirty_log),
        bool(system.xcrs),
        system.xcr0,
    )


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other: ``hashlib`` would load a whole library of
    cryptography for it.
    """
    state, digest = ffi.new("struct udfvm_sha256 *"), ffi.new("uint8_t[32]")
    lib.udfvm_sha256_start(state)
    for part in parts:
        lib.udfvm_sha256_add(state, ffi.from_buffer(part), len(part))
    lib.udfvm_sha256_end(state, digest)
    return bytes(ffi.buffer(digest))


def copy(target: memoryview, source: memoryview) -> None:
    """Copies bytes to writable memory of the same length, megabytes on two processors. The
    interpreter's lock is released meanwhile.

    >>> target = bytearray(4)
    >>> copy(memoryview(target), memoryview(b"1234"))
    >>> target
    bytearray(b'1234')
    """
    if len(target) != len(source):
        raise ValueError(f"{len(source)} bytes cannot be copied to {len(target)}")
    lib.udfvm_copy(
        ffi.from_buffer(target, require_writable=True), ffi.from_buffer(source), len(source)
    )


def measure_exits(count: int) -> list[float]:
    """Microseconds of so many exits from a minimal VM: the least that a call can cost here."""
    samples, error = ffi.new("double[]", count), _error()
    if lib.udfvm_measure_exits(samples, count, error):
        raise _exception(error)
    return list(samples)


class Image:
    """A sealed image, mapped. Closed with its last user; ``close`` gives up this object's
    reference.
    """

    def __init__(self, handle: Any, base: Image | None) -> None:
        self._handle = ffi.gc(handle, lib.udfvm_image_close)
        self.base = base
        self.path: Path | None = None  # of its file, where it was opened by one

    @classmethod
    def open(cls, path: Path, base: Image | None = None) -> Image:
        """Opens a base image of the cache, or with ``base`` a layer of it, and checks it, unless
        that was done before.

        Raises FileNotFoundError, CacheError where the file is not to be used, ImageError where it
        is damaged or foreign.
        """
        error = _error()
        directory, name = os.fsencode(path.parent), os.fsencode(path.name)
        handle = lib.udfvm_image_open_cached(
            directory, name, base._handle if base else ffi.NULL, error
        )
        if not handle:
            raise _file_exception(error, path)
        image = cls(handle, base)
        image.path = path
        return image

    def verify(self) -> None:
        """Checks the content against its checksum, reading all of it. Raises ImageError where it is
        damaged.
        """
        error = _error()
        if lib.udfvm_image_verify(self._handle, error):
            raise _exception(error)

    @property
    def address(self) -> int:
        """Address of the core's object, for C code of this process."""
        return int(ffi.cast("uintptr_t", self._handle))

    @property
    def metadata(self) -> bytes:
        """What was stored with the image."""
        length = ffi.new("size_t *")
        data = lib.udfvm_image_metadata(self._handle, length)
        return bytes(ffi.buffer(data, length[0]))

    @property
    def digest(self) -> bytes:
        """32 bytes that identify the content."""
        statistics = self._statistics()  # owns the memory that the buffer shows
        return bytes(ffi.buffer(statistics.digest))

    @property
    def pages(self) -> int:
        """Stored pages of 4 KiB."""
        return int(self._statistics().pages)

    def _statistics(self) -> Any:
        statistics = ffi.new("struct udfvm_image_statistics *")
        lib.udfvm_image_statistics(self._handle, statistics)
        return statistics

    def close(self) -> None:
        """Gives up this object's reference. VMs and layers keep theirs."""
        ffi.release(self._handle)


def _file_exception(error: Any, path: Path) -> BaseException:
    if error.code == errors.Code.SYSTEM and error.os_errno == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return _exception(error)


def open_private(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file that nobody but this user and root can have put there. Does
    not wait, nor follow a link.

    Raises FileNotFoundError, and CacheError, which says what is wrong and what to do.
    """
    error = _error()
    descriptor = lib.udfvm_private_open(
        os.fsencode(path.parent), os.fsencode(path.name), flags, error
    )
    if descriptor < 0:
        raise _file_exception(error, path)
    return int(descriptor)


def open_private_directory(path: Path) -> int:
    """The same, of a directory."""
    error = _error()
    descriptor = lib.udfvm_private_open(os.fsencode(path), ffi.NULL, os.O_RDONLY, error)
    if descriptor < 0:
        raise _file_exception(error, path)
    return int(descriptor)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of an image file, without opening (and checking) the image. Empty where the file
    has none to read.
    """
    import json

    header = ffi.new("struct udfvm_image_location *")
    with open(open_private(path), "rb") as file:
        if lib.udfvm_image_locate_metadata(file.fileno(), header):
            return {}
        file.seek(header.offset)
        try:
            parsed = json.loads(file.read(min(header.length, 1 << 24)))
        except ValueError:
            return {}
    return parsed if isinstance(parsed, dict) else {}


def read_identity(path: Path) -> tuple[bytes, bytes] | None:
    """The digests of an image and of its base (zeros for one that is a base), by the header alone;
    None where the file is none.
    """
    header = ffi.new("struct udfvm_image_location *")
    descriptor = open_private(path)
    try:
        if lib.udfvm_image_locate_metadata(descriptor, header):
            return None
    finally:
        os.close(descriptor)
    return bytes(ffi.buffer(header.digest)), bytes(ffi.buffer(header.base_digest))


class Reply(NamedTuple):
    """What a guest completed with. ``data`` is guest memory, valid until the VM is used again; the
    guest does not run meanwhile.
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
    """A micro-VM on loan from a pool, or opened by itself."""

    __slots__ = ("_error", "_files", "_handle", "_held", "_image", "_reply")

    def __init__(
        self, handle: Any, image: Image | None, files: object = None, held: Any = None
    ) -> None:
        self._handle = handle
        self._held = (
            held  # struct udfvm_held *, which goes back to its pool with this object if not before
        )
        self._image = image
        self._files = files
        self._reply = ffi.new("struct udfvm_reply *")
        self._error = ffi.new("struct udfvm_error *")

    @classmethod
    def open(cls, image: Image, files: Files | None = None) -> VM:
        """A VM of its own, outside any pool. Close it."""
        error = _error()
        bound = bind_files(files)
        handle = lib.udfvm_vm_open(image._handle, bound.structure if bound else ffi.NULL, error)
        if not handle:
            raise _exception(error)
        return cls(handle, image, bound)

    @property
    def address(self) -> int:
        """Address of the core's object, for C code of this process."""
        return int(ffi.cast("uintptr_t", self._handle))

    def call(
        self,
        request: int,
        data: bytes | memoryview | None,
        limits: Any,
        udf: str | None = None,
        length: int | None = None,
    ) -> Reply:
        """One exchange: begins a call, or goes on with the one that was not restored.

        ``data`` None means that the request, ``length`` bytes, was written to what ``input`` gave.
        Raises the exceptions of a failed call; restore the VM then.
        """
        code = self._run(request, data, limits, length)
        if code:
            raise _exception(self._error, udf)
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
        """A whole call: exchange, reply copied out, restore. Returns the status and the reply."""
        reply = self._reply
        code = self._run(request, data, limits, length)
        failure = _exception(self._error, udf) if code else None
        result = (
            _copied(ffi.buffer(reply.data, reply.length), reply.status)
            if not code and reply.length
            else b""
        )
        status = reply.status
        if lib.udfvm_vm_restore(self._handle, self._error) and failure is None:
            failure = _exception(self._error, udf)
        if failure is not None:
            raise failure
        return status, result

    @property
    def room(self) -> int:
        """Bytes of the largest request."""
        return int(lib.udfvm_vm_input_capacity(self._handle))

    def input(self, size: int) -> memoryview:
        """So many bytes of the input window, to write a request in place: every byte of what is
        sent then, and at most these.

        They count as written from now on, whatever comes of it: the next call finds nothing of
        them. Not to be used after the call.
        """
        address = lib.udfvm_vm_input(self._handle, size, self._error)
        if not address:
            raise _exception(self._error)
        return memoryview(ffi.buffer(address, size))

    def log(self) -> str:
        """What the guest wrote in the last exchange, be it that it failed."""
        reply = self._reply
        return visible(ffi.buffer(reply.log, reply.log_length)) if reply.log_length else ""

    def restore(self) -> None:
        """Back to the sealed state."""
        if lib.udfvm_vm_restore(self._handle, self._error):
            raise _exception(self._error)

    def seal(self, descriptor: int, metadata: bytes, key: str | None = None) -> None:
        """Writes the image of a VM whose guest asked to be sealed. ``key`` is its name in the
        cache.
        """
        name = ffi.NULL if key is None else bytes.fromhex(key)
        if lib.udfvm_vm_seal_named(
            self._handle, descriptor, name, metadata, len(metadata), self._error
        ):
            raise _exception(self._error)

    def seal_report(self) -> SealReport:
        """What the guest kernel counted until its seal."""
        info = lib.udfvm_vm_seal_info(self._handle)
        unknown = {info.unknown[i].number: info.unknown[i].count for i in range(info.unknown_count)}
        return SealReport(info.memory_used, info.syscalls, info.trapped, unknown)

    def statistics(self) -> Statistics:
        """The VM's counters."""
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
        """Destroys the VM. Not for VMs of a pool."""
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
    """What the guest kernel counted: bytes of memory in use, system calls served, how many of them
    by a trap, and those answered with ENOSYS, by number.
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
) -> tuple[VM, str]:
    """Boots a program up to its seal. Returns the VM, to be sealed and closed, and what it logged.

    Raises BuildError with the log where the program does not get there.
    """
    error = _error()
    config = ffi.new(
        "struct udfvm_config *",
        {"memory": memory, "input_window": window, "output_window": window, "scratch": scratch},
    )
    log = ffi.new("char **")
    bound = bind_files(files)
    served = bound.structure if bound else ffi.NULL
    handle = lib.udfvm_vm_boot(
        config, kernel, len(kernel), payload, len(payload), served, core_limits(limits), log, error
    )
    text = ""
    if log[0]:
        text = visible(ffi.string(log[0]))
        lib.free(log[0])
    if handle:
        return VM(handle, None, bound), text
    failure = _exception(error)
    if isinstance(failure, errors.CallError | errors.HostError):
        raise errors.BuildError(f"the base image could not be built: {failure}", text) from failure
    raise failure


class Pool:
    """VMs of one base image, for the base and its layers."""

    def __init__(
        self,
        base: Image,
        limit: int,
        files: Files | None = None,
        *,
        wait: float = 60.0,
        keep: int = 8,
        crowded: Callable[[], None] | None = None,
    ) -> None:
        """``wait``: seconds for which ``take`` waits; ``keep``: idle VMs that stay open;
        ``crowded`` is called where several are in use.
        """
        error = _error()
        self._bound = bind_files(files)
        handle = lib.udfvm_pool_create(
            base._handle, limit, self._bound.structure if self._bound else ffi.NULL, error
        )
        if not handle:
            raise _exception(error)
        self._handle = ffi.gc(handle, lib.udfvm_pool_close)
        self.base = base
        self.limit = limit
        self.wait_ns = int(wait * 1e9)
        self.vms_out = 0  # about so many are in use
        self._crowded = crowded
        self._borrowed = BorrowedReplies(limit)
        lib.udfvm_pool_set_idle(self._handle, keep)

    @property
    def address(self) -> int:
        """Address of the core's object, for C code of this process."""
        return int(ffi.cast("uintptr_t", self._handle))

    def call_and_give(
        self,
        vm: VM,
        request: int,
        length: int,
        limits: Any,
        udf: str,
        part: Callable[[memoryview], slice | None],
    ) -> tuple[int, memoryview, bool]:
        """A whole call with the request in ``vm.input``, after which the VM goes back. Returns the
        status and the reply, or, and then True, the part of it that is all that the caller needs:
        ``part`` is asked.

        What is large is not copied: it is the guest's memory, which forked children inherit, and
        the VM, which does not run meanwhile, goes back when the last view of it is gone. No more
        than a few VMs of a pool are borrowed from at a time.
        """
        try:
            reply = vm.call(request, None, limits, udf, length)
            if reply.status:
                return reply.status, memoryview(_copied(reply.data, reply.status)), False
            found = part(reply.data)
            begin, end = (0, len(reply.data)) if found is None else (found.start, found.stop)
            data = (
                self._borrowed.borrow(vm, begin, end - begin)
                if self._borrowed.takes(end - begin)
                else None
            )
            if data is not None:
                self.vms_out -= 1
                self.attend(self.vms_out)
            else:
                data = memoryview(
                    bytearray(reply.data[begin:end])
                )  # one copy, which numpy may let its user write to
            return reply.status, data, found is not None
        finally:
            self.give(vm)

    def take(self, image: Image, windows: Windows | None = None, timeout_ns: int = 0) -> VM:
        """A VM at the sealed state of ``image``; with ``windows``, one that has these and is closed
        when it is given back.

        Waits while all are busy, then raises BusyError. Raises PoolClosedError. A wait counts for
        the deadline of the VM's next call, which may take ``timeout_ns`` (0: any time): past it,
        CallTimeoutError.
        """
        vm = VM(
            ffi.NULL,
            image,
            self._bound,
            ffi.gc(ffi.new("struct udfvm_held *"), lib.udfvm_pool_let_go),
        )
        wide = ffi.NULL if windows is None else ffi.new("struct udfvm_windows *", tuple(windows))
        if lib.udfvm_pool_hold(
            vm._held, self._handle, image._handle, wide, self.wait_ns, timeout_ns, vm._error
        ):
            raise _exception(vm._error)
        vm._handle = vm._held.vm
        self.vms_out += 1
        if self.vms_out > 1:
            self.attend(self.vms_out)
        return vm

    def attend(self, count: int) -> None:
        """A call found so many VMs in use: there will be idle ones to close, or to shrink."""
        self.vms_out = count
        if self._crowded is not None:
            self._crowded()

    def give(self, vm: VM) -> None:
        """Returns a VM, if it was not returned or borrowed from. It is restored if it was not, and
        destroyed if that fails.
        """
        if vm._handle:
            self.vms_out -= 1
        vm._handle = ffi.NULL
        if lib.udfvm_pool_let_go(vm._held):
            self.attend(self.vms_out)

    def fresh_call(
        self, image: Image, request: int, payload: bytes, limits: Any, udf: str | None = None
    ) -> tuple[int, bytes]:
        """A whole call on any VM: taken, called, its reply copied out, restored and given back.
        Returns the status and the reply.

        This is the shortest way to a call: after an exit everything that Python touches is cold.
        """
        error, taken = _error(), _taken_reply()
        reply, output = taken
        try:
            code = lib.udfvm_pool_call(
                self._handle,
                image._handle,
                self.wait_ns,
                request,
                payload,
                len(payload),
                limits,
                reply,
                error,
            )
            status, length, attend = reply.status, reply.length, reply.attend
            data: bytes = (
                _copied(ffi.buffer(reply.data, length), status) if reply.kept else output[:length]
            )
        finally:
            kept, reply.kept = reply.kept, ffi.NULL
            if kept:
                lib.udfvm_pool_give(self._handle, kept)
        _thread.reply = taken
        if code:
            raise _exception(error, udf)
        if attend:
            self.attend(reply.in_use)
        return status, data

    @contextmanager
    def vm(self, image: Image) -> Iterator[VM]:
        """A VM for the length of a ``with`` block."""
        vm = self.take(image)
        try:
            yield vm
        finally:
            self.give(vm)

    def trim(self, keep: int = 0) -> None:
        """Closes idle VMs until at most ``keep`` are left."""
        lib.udfvm_pool_trim(self._handle, keep)

    def trim_old(self, keep: int, seconds: float) -> int:
        """Closes VMs that were idle for so long, but for the ``keep`` used last. Returns how many
        are idle then.
        """
        live, idle = self.pool_statistics()
        self.vms_out = live - idle
        return int(lib.udfvm_pool_trim_old(self._handle, keep, int(seconds * 1e9)))

    def shrink_old(self, seconds: float) -> int:
        """VMs that were idle for so long give back what memory calls left. Returns how many have
        such memory still, or will have.
        """
        return (
            int(lib.udfvm_pool_shrink_old(self._handle, int(seconds * 1e9))) + self._borrowed.count
        )

    def pool_statistics(self) -> tuple[int, int]:
        """How many VMs there are, and how many of these are idle."""
        statistics = ffi.new("struct udfvm_pool_statistics *")
        lib.udfvm_pool_statistics(self._handle, statistics)
        return statistics.live, statistics.idle

    def close(self) -> None:
        """Closes idle VMs, and those in use when they are given back. No more are taken: who waits
        for one gets PoolClosedError.
        """
        lib.udfvm_pool_shut(self._handle)
