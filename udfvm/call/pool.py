"""Pools of micro-VMs: how many there are, how long a call waits for one, how many stay open when
nothing is to do.
"""

from __future__ import annotations

import functools
import os
from _thread import allocate_lock
from types import TracebackType

from udfvm.backend import in_process, refuse_of_pool
from udfvm.call.jail import jail_options
from udfvm.call.tenants import checked_tenant
from udfvm.call.tidying import trim_old, wake
from udfvm.call.vm_log import follow_level
from udfvm.checks import check_count, check_seconds, options_of, shown
from udfvm.errors import OptionError
from udfvm.forks import ForkLock
from udfvm.keywords import checks_options
from udfvm.log import debug
from udfvm.static_typing import TYPE_CHECKING, Any, Final, Protocol, Self
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    import threading
    import weakref
    from concurrent.futures import Future

    from udfvm.images.spec import BaseSpec
    from udfvm.limits import Limits
    from udfvm.vmm import Image, ImagePool, Jail
    from udfvm.vmm.data import Data
    from udfvm.vmm.pool import ImagePools

    class Warmable(Protocol):
        """A function, as pools know it."""

        def _warm(self, pool: Pool, vms: int) -> int:
            """Makes so many VMs of a pool ready; returns their number."""


MAX_VMS: Final = 4096
_NEVER: Final = 1e9  # seconds


class PoolStatistics(NamedTuple):
    """VMs of a pool: how many there may be (of each base image), how many there are, and how many
    of these are idle.

    >>> udfvm.Pool(size=4).statistics()
    PoolStatistics(size=4, live=0, idle=0)
    """

    size: int
    live: int
    idle: int


class _Settings(NamedTuple):
    """What goes with a pool of a tenant to another process: it is as jailed there."""

    keep: int
    keep_seconds: float
    wait: float
    tenant: str | None
    jail: bool
    cgroup: str | None


class Pool:
    """VMs for the functions that are bound to it.

    Functions with the same memory and packages share a base image, and its VMs: a VM moves from one
    function to another by the pages in which they differ, and nothing of one call is ever seen by
    the next. A call takes an idle VM, opens a new one while there are fewer than ``size``, or
    waits. Calls from several threads run at once, each on a VM of its own, without the
    interpreter's lock.

    A forked child begins with an empty pool of the same settings.

    Args:
        size: VMs that there may be at most, of each base image: 1 to 4096.
        keep: how many of them stay open while they are idle, 0 to 4096; when more are, those used
            longest ago are closed.
        keep_seconds: all idle VMs but the one used last are closed once they were idle for so long;
            that one gives back the memory that calls left, beyond what calls usually write.
        wait: seconds for which a call waits while all are busy, before it raises ``BusyError``.
        tenant: whom the VMs serve, by any name. A pool of a tenant is never taken for another one:
            SQLite connections of a tenant refuse functions of other pools, and a function that goes
            to another process by value takes such a pool along. See docs/security.md.
        jail: whether each VM runs in a process of its own, which can do next to nothing but run it.
            None: if the environment has ``UDFVM_JAIL=1``.
        cgroup: a directory of a cgroup, of either version, for these processes.

    Raises OptionError, a ValueError, for settings that make no sense.

    >>> with udfvm.Pool(size=2) as pool:
    ...     @udfvm.udf(pool=pool)
    ...     def double(x: int) -> int:
    ...         return 2 * x
    ...     pool.warm(double, vms=2).result()       # in the background, unless one waits for it
    ...     (double(21), pool.statistics())
    2
    (42, PoolStatistics(size=2, live=2, idle=2))
    """

    @checks_options("udfvm.Pool")
    def __init__(
        self,
        size: int = 64,
        *,
        keep: int = 8,
        keep_seconds: float = 60.0,
        wait: float = 60.0,
        tenant: str | None = None,
        jail: bool | None = None,
        cgroup: str | os.PathLike[str] | None = None,
    ) -> None:
        with options_of("udfvm.Pool"):
            self.size = check_count("size", size, 1, MAX_VMS)
            self.keep = check_count("keep", keep, 0, MAX_VMS)
            self.keep_seconds = check_seconds("keep_seconds", keep_seconds)
            self.wait = check_seconds("wait", wait)
            self.tenant = checked_tenant(tenant)
            self.jail, self.cgroup = jail_options(jail, cgroup)
        self._accounts: dict[str, Any] = {}  # udfvm_account * by name
        self._begin()
        _register(self)

    def _begin(self, *, closed: bool = False) -> None:
        self._lock = allocate_lock()
        self._image_pools: ImagePools | None = None  # of each base image
        self._closed = closed
        self._trimmer: threading.Thread | None = None
        self._tidy = allocate_lock()  # held, unless the trimmer is to look at once
        self._tidy.acquire()

    def __repr__(self) -> str:
        closed = " (closed)" if self._closed else ""
        tenant = "" if self.tenant is None else f", tenant={self.tenant!r}"
        return (
            f"Pool(size={self.size}, keep={self.keep}, keep_seconds={self.keep_seconds:g},"
            f" wait={self.wait:g}{tenant}{', jail=True' if self.jail else ''}){closed}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        if self.tenant is None:
            raise TypeError("a udfvm.Pool is this process's: make another one there")
        settings = (self.keep, self.keep_seconds, self.wait, self.tenant, self.jail, self.cgroup)
        return _of_tenant, (self.size, _Settings(*settings))

    @staticmethod
    def default() -> Pool:
        """Returns the pool of functions that name none."""
        return _default

    @property
    def _label(self) -> str:
        """What the log calls it."""
        if self.tenant is not None:
            return f"pool of {self.tenant!r}"
        return "default pool" if self is _default else f"pool {id(self):#x}"

    @property
    def _tenant_number(self) -> int:
        """The tenant as the SQLite extension knows it; 0 if there is none."""
        if self.tenant is None:
            return 0
        from hashlib import sha256

        return int.from_bytes(sha256(self.tenant.encode()).digest()[:8], "little") or 1

    @property
    def _jail(self) -> Jail | None:
        from udfvm.vmm import Jail

        return Jail(self.cgroup) if self.jail else None

    def _base(
        self,
        spec: BaseSpec,
        limits: Limits | None = None,
        udf: str | None = None,
        *,
        is_own: bool = False,
    ) -> Image:
        """Returns the base image of a spec, for a function of this program if it ``is_own``. It
        boots in a jail if VMs of the pool run in jails.
        """
        if in_process():
            refuse_of_pool(udf, spec.runtime, self.tenant, jail=self.jail, is_own=is_own)
        from udfvm.images.base import base_image
        from udfvm.limits import Limits

        return base_image(spec, (limits or Limits()).build_timeout_ns, udf, self._jail)

    def _for_base(self, base: Image, data: Data | None = None) -> ImagePool:
        """Returns the VMs of one base image with these data files. Raises PoolClosedError."""
        from udfvm.images.host import host_files
        from udfvm.vmm.pool import ImagePool, ImagePools

        with self._lock:
            pools = self._image_pools = self._image_pools or ImagePools()
            if (image_pool := pools.find(base, data)) is None:
                image_pool = ImagePool(
                    base,
                    self.size,
                    host_files(),
                    wait=self.wait,
                    keep=self.keep,
                    jail=self._jail,
                    data=data,
                    crowded=self._trim_later,
                )
                if self._closed:
                    image_pool.close()
                pools.keep(image_pool)
        follow_level(image_pool.address, self._label)
        return image_pool

    @checks_options("udfvm.Pool: warm()")
    def warm(self, *functions: Warmable, vms: int = 1) -> Future[int]:
        """Makes VMs ready for functions, in the background: images are built or opened, so many VMs
        opened for each function, and a call made in each, with a row of zeros, whose result is
        dropped.

        Returns a future of the number of VMs that were made ready; its exception is what building
        an image raised, or ``BusyError``.
        """
        import threading
        from concurrent.futures import Future

        count = min(check_count("Pool.warm: vms", vms, 1), self.size)
        future: Future[int] = Future()

        def work() -> None:
            try:
                future.set_result(sum(function._warm(self, count) for function in functions))
            except BaseException as error:  # noqa: BLE001 - it is the caller's, who asks the future
                future.set_exception(error)

        threading.Thread(target=work, name="udfvm-warm", daemon=True).start()
        return future

    def walls(self) -> tuple[str, ...]:
        """Returns the walls that stand around the process of each VM; none if ``jail`` is False.

        Raises JailError if VMs cannot be jailed here.

        >>> udfvm.Pool(jail=False).walls()
        ()
        >>> "filter" in udfvm.Pool(jail=True).walls()
        True
        """
        from udfvm.vmm import jail_walls

        return jail_walls(jail) if (jail := self._jail) is not None else ()

    def statistics(self) -> PoolStatistics:
        """Returns how many VMs there are, of all base images."""
        found = [image_pool.pool_statistics() for image_pool in self._list()]
        return PoolStatistics(
            self.size, sum(live for live, _ in found), sum(idle for _, idle in found)
        )

    @checks_options("udfvm.Pool: trim()")
    def trim(self, keep: int = 0) -> None:
        """Closes idle VMs of each base image until at most ``keep`` are left."""
        count = check_count("Pool.trim: keep", keep, 0, MAX_VMS)
        for image_pool in self._list():
            image_pool.trim(count)
        wake(self._tidy)

    def close(self) -> None:
        """Closes the idle VMs, and those in use when their calls end. Later calls of functions
        bound to the pool, and those that wait for a VM, raise PoolClosedError.
        """
        with self._lock:
            self._closed = True
        debug("%s: closed", self._label)
        for image_pool in self._list():
            image_pool.close()
        wake(self._tidy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        class_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _list(self) -> list[ImagePool]:
        with self._lock:
            return self._image_pools.all() if self._image_pools else []

    def _trim_later(self) -> None:
        """Called where more than one VM of a base image is in use, or one took much memory: when
        that is over, some will be idle.
        """
        with self._lock:
            if self._trimmer is None and not self._closed:
                import threading
                import weakref

                tidy = self._tidy
                gone = weakref.ref(self, lambda _: wake(tidy))
                self._trimmer = threading.Thread(
                    target=trim_old, args=(gone, tidy), name="udfvm-trim", daemon=True
                )
                self._trimmer.start()

    def _trim_old(self) -> bool:
        """Whether there is anything left to trim."""
        image_pools = self._list()
        left = [image_pool.trim_old(1, self.keep_seconds) for image_pool in image_pools]
        for image_pool in image_pools:  # in each quarter, so it is no later than keep_seconds
            image_pool.shrink_old(self.keep_seconds * 3 / 4)
        with self._lock:
            if not self._closed and any(
                idle + image_pool.vms_out > 1 or image_pool.shrink_old(_NEVER)
                for idle, image_pool in zip(left, image_pools, strict=True)
            ):
                return True
            self._trimmer = None
            return False


def pool_of(udf: str, pool: object) -> Pool:
    """Returns the pool that a UDF's ``pool=`` means. Raises OptionError for another object."""
    if pool is None:
        return _default
    if not isinstance(pool, Pool):
        raise OptionError(f"UDF {udf!r}: pool= takes a udfvm.Pool; got {shown(pool)}")
    return pool


def _of_tenant(size: int, settings: _Settings) -> Pool:
    """Returns the pool of a tenant that came from another process: one for each of its settings."""
    key = (size, settings)
    with _arrived_lock.lock:
        arrived = _arrived()
        pool = arrived.get(key)
        if pool is None:
            pool = arrived[key] = Pool(size, **settings._asdict())
        return pool


@functools.cache
def _others() -> weakref.WeakSet[Pool]:
    import weakref  # a process that has the default pool alone needs it not

    return weakref.WeakSet()


@functools.cache
def _arrived() -> weakref.WeakValueDictionary[tuple[object, ...], Pool]:
    import weakref

    return weakref.WeakValueDictionary()


_arrived_lock: Final = ForkLock()
_first: Final[list[Pool]] = []  # the default one


def _register(pool: Pool) -> None:
    """Lets forked children begin the pool anew."""
    if _first:
        _others().add(pool)
    else:
        _first.append(pool)


_default: Final = Pool()


def pools() -> list[Pool]:
    """Returns all pools of this process."""
    return [*_first, *_others()]


def _after_fork() -> None:
    for pool in pools():
        pool._begin(closed=pool._closed)


os.register_at_fork(after_in_child=_after_fork)
