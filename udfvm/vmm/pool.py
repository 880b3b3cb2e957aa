"""The core's pool: VMs of one base image that calls take and give back."""

from __future__ import annotations

from _thread import _local
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

from udfvm.static_typing import TYPE_CHECKING, Any, Final
from udfvm.tuples import NamedTuple
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.borrowed import borrow
from udfvm.vmm.callbacks import bind_files
from udfvm.vmm.cancellation import cancellation_of_thread
from udfvm.vmm.failures import exception, thread_error
from udfvm.vmm.image import Image
from udfvm.vmm.vm import VM, copied
from udfvm.vmm.windows import Windows

if TYPE_CHECKING:
    from udfvm.vmm.callbacks import Files
    from udfvm.vmm.data import Data
    from udfvm.vmm.system import Jail

_CAPACITY: Final = 256  # bytes: most replies to rows fit

_thread = _local()


class _PoolReply(NamedTuple):
    """A ``struct udfvm_pool_reply`` and a view of its output, of ``_CAPACITY`` bytes."""

    reply: Any
    output: Any


def _taken_reply() -> _PoolReply:
    """Takes this thread's reply until it is put back: signal handlers and host functions make
    calls, too.
    """
    kept: _PoolReply | None = getattr(_thread, "reply", None)
    _thread.reply = None
    if kept is not None:
        return kept
    output = ffi.new("char[]", _CAPACITY)
    return _PoolReply(
        ffi.new("struct udfvm_pool_reply *", {"output": output, "capacity": _CAPACITY}),
        ffi.buffer(output),
    )


class ImagePool:
    """VMs of one base image, for the base and its layers."""

    def __init__(
        self,
        base: Image,
        limit: int,
        files: Files | None = None,
        *,
        wait: float = 60.0,
        keep: int = 8,
        jail: Jail | None = None,
        data: Data | None = None,
        crowded: Callable[[], None] | None = None,
    ) -> None:
        """``wait``: seconds that ``take`` waits. ``keep``: idle VMs that stay open. ``crowded`` is
        called when several VMs are in use. ``jail``: VMs run in processes of their own. ``data``:
        files that all VMs have.
        """
        error = thread_error()
        self._bound = bind_files(files)
        handle = lib.udfvm_pool_create(
            base._handle, limit, self._bound.structure if self._bound else ffi.NULL, error
        )
        if not handle:
            raise exception(error)
        self._handle = ffi.gc(handle, lib.udfvm_pool_close)
        self.base = base
        self.data_identity = None if data is None else data.identity
        self.limit = limit
        self.wait_ns = int(wait * 1e9)
        self.vms_out = 0  # approximate number of VMs in use
        self._crowded = crowded
        lib.udfvm_pool_set_idle(self._handle, keep)
        if data is not None:
            lib.udfvm_pool_set_data(self._handle, data._handle)
        path = ffi.NULL if jail is None else jail.path
        if lib.udfvm_pool_jail(self._handle, jail is not None, path, error):
            raise exception(error)

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
        rows: int,
        part: Callable[[memoryview], slice | None],
        copy: Callable[[memoryview], Any] | None = None,
    ) -> tuple[int, Any, bool]:
        """Makes a whole call with the request in ``vm.input``, and gives the VM back. Returns the
        status and the reply; or, with True, the part of the reply that the caller needs, which
        ``part`` finds. ``rows`` are those of the request.

        A large reply is not copied: it is the guest's memory, which forked children inherit. The
        VM, which does not run meanwhile, goes back when the last view of the reply is gone. Only a
        few VMs of a pool have borrowed replies at a time. With ``copy``, what that makes of the
        reply is returned, of whatever size it is.
        """
        try:
            vm.tell(rows, whole=True)
            reply = vm.call(request, None, limits, udf, length)
            if reply.status:
                return reply.status, memoryview(copied(reply.data, reply.status)), False
            found = part(reply.data)
            begin, end = (0, len(reply.data)) if found is None else (found.start, found.stop)
            if copy is not None:
                return reply.status, copy(reply.data[begin:end]), found is not None
            data = borrow(vm, begin, end - begin)
            if data is not None:
                self.vms_out -= 1
                self.attend(self.vms_out)
            else:
                # One copy: numpy lets its user write to it.
                data = memoryview(bytearray(reply.data[begin:end]))
            return reply.status, data, found is not None
        finally:
            self.give(vm)

    def take(
        self,
        image: Image,
        windows: Windows | None = None,
        timeout_ns: int = 0,
        udf: str | None = None,
        *,
        waits: bool = True,
    ) -> VM:
        """Takes a VM at the sealed state of ``image``, for the function ``udf``. With ``windows``
        the VM has these windows, and is closed when it is given back.

        Waits while all are busy, if it ``waits``, then raises BusyError. Raises PoolClosedError.
        The wait counts for the deadline of the VM's next call, which may take ``timeout_ns`` (0: no
        deadline); past it, CallTimeoutError is raised.
        """
        vm = VM(
            ffi.NULL,
            image,
            self._bound,
            ffi.gc(ffi.new("struct udfvm_held *"), lib.udfvm_pool_let_go),
        )
        wait_ns = self.wait_ns if waits else 0
        larger = ffi.NULL if windows is None else ffi.new("struct udfvm_windows *", tuple(windows))
        if lib.udfvm_pool_hold(
            vm._held, self._handle, image._handle, larger, wait_ns, timeout_ns, vm._error
        ):
            raise exception(vm._error, udf)
        vm._handle = vm._held.vm
        cancellation = cancellation_of_thread()
        if cancellation is not None:
            vm.watch(cancellation)
        self.vms_out += 1
        if self.vms_out > 1:
            self.attend(self.vms_out)
        return vm

    def attend(self, count: int) -> None:
        """Notes that a call found many VMs in use: idle ones may have to be closed or shrunk
        later.
        """
        self.vms_out = count
        if self._crowded is not None:
            self._crowded()

    def give(self, vm: VM) -> None:
        """Returns a VM that was not returned or borrowed from. Restores it if needed, and destroys
        it if that fails.
        """
        if vm._handle:
            self.vms_out -= 1
        vm._handle = ffi.NULL
        if lib.udfvm_pool_let_go(vm._held):
            self.attend(self.vms_out)

    def fresh_call(
        self, image: Image, request: int, payload: bytes, limits: Any, udf: str | None = None
    ) -> tuple[int, bytes]:
        """Makes a whole call on any VM: takes, calls, copies the reply, restores and gives back.
        Returns the status and the reply.

        This is the fastest way for Python code: after an exit, everything that Python touches is
        out of the processor's caches.
        """
        error, taken = thread_error(), _taken_reply()
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
                copied(ffi.buffer(reply.data, length), status) if reply.kept else output[:length]
            )
        finally:
            kept, reply.kept = reply.kept, ffi.NULL
            if kept:
                lib.udfvm_pool_give(self._handle, kept)
        _thread.reply = taken
        if code:
            raise exception(error, udf)
        if attend:
            self.attend(reply.in_use)
        return status, data

    @contextmanager
    def vm(self, image: Image) -> Iterator[VM]:
        """Takes a VM for a ``with`` block."""
        vm = self.take(image)
        try:
            yield vm
        finally:
            self.give(vm)

    def trim(self, keep: int = 0) -> None:
        """Closes idle VMs until at most ``keep`` are left."""
        lib.udfvm_pool_trim(self._handle, keep)

    def trim_old(self, keep: int, seconds: float) -> int:
        """Closes VMs that were idle for this time, except the ``keep`` most recently used. Returns
        the number of idle VMs then.
        """
        live, idle = self.pool_statistics()
        self.vms_out = live - idle
        return int(lib.udfvm_pool_trim_old(self._handle, keep, int(seconds * 1e9)))

    def shrink_old(self, seconds: float) -> int:
        """Makes VMs that were idle for this time give memory of earlier calls back. Returns the
        number of VMs that still have such memory, or will have it.
        """
        return (
            int(lib.udfvm_pool_shrink_old(self._handle, int(seconds * 1e9))) + self.borrowed_count
        )

    def pool_statistics(self) -> tuple[int, int]:
        """Returns the numbers of VMs and of idle VMs."""
        statistics = ffi.new("struct udfvm_pool_statistics *")
        lib.udfvm_pool_statistics(self._handle, statistics)
        return statistics.live, statistics.idle

    def settle(self) -> None:
        """Lets reports of jailed VMs have what the restore found: see ``udfvm_pool_settle``."""
        lib.udfvm_pool_settle(self._handle)

    def memory(self) -> int:
        """Returns the bytes of memory that live VMs have for themselves: what neither image nor
        other VMs share. Raises OSError where the system does not say it.
        """
        error = thread_error()
        found = ffi.new("uint64_t *")
        if lib.udfvm_pool_memory(self._handle, found, error):
            raise exception(error)
        return int(found[0])

    @property
    def borrowed_count(self) -> int:
        """The number of VMs in use that no longer compute: their replies are read."""
        statistics = ffi.new("struct udfvm_pool_statistics *")
        lib.udfvm_pool_statistics(self._handle, statistics)
        return int(statistics.borrowed)

    def close(self) -> None:
        """Closes idle VMs, and those in use when they are given back. No more are taken, and
        waiting calls raise PoolClosedError.
        """
        lib.udfvm_pool_shut(self._handle)


class ImagePools:
    """VMs of several base images. Those with data files go with the last function that uses them:
    the files may be gigabytes.
    """

    def __init__(self) -> None:
        self._without: dict[bytes, ImagePool] = {}
        self._with_data: MutableMapping[tuple[bytes, bytes], ImagePool] = {}

    def find(self, base: Image, data: Data | None) -> ImagePool | None:
        """Returns the VMs of a base image that have these data files; None if there are none."""
        if data is None:
            return self._without.get(base.digest)
        return self._with_data.get((base.digest, data.identity))

    def keep(self, image_pool: ImagePool) -> None:
        """Takes up VMs that were not found."""
        digest, identity = image_pool.base.digest, image_pool.data_identity
        if identity is None:
            self._without[digest] = image_pool
            return
        if not self._with_data:
            import weakref

            self._with_data = weakref.WeakValueDictionary()
        self._with_data[digest, identity] = image_pool

    def all(self) -> list[ImagePool]:
        """Returns all of them."""
        return [*self._without.values(), *self._with_data.values()]
