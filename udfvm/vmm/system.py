"""The ``/dev/kvm`` of this host."""

from __future__ import annotations

import os

from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.failures import exception, thread_error


class System(NamedTuple):
    """What KVM offers on this host."""

    kvm_api_version: int
    is_pvm: bool
    vendor: str
    sync_regs: bool
    manual_dirty_log: bool
    xcrs: bool
    xcr0: int


def probe() -> System:
    """Examines ``/dev/kvm``. Raises KVMUnavailableError or KVMPermissionError."""
    system, error = ffi.new("struct udfvm_system *"), thread_error()
    if lib.udfvm_system_probe(system, error):
        raise exception(error)
    return System(
        system.kvm_api_version,
        bool(system.is_pvm),
        ffi.string(system.vendor).decode(),
        bool(system.sync_regs),
        bool(system.manual_dirty_log),
        bool(system.xcrs),
        system.xcr0,
    )


def foresee_vm() -> None:
    """Lets another thread ask KVM what ``probe`` and the first VM need, while this one goes on."""
    lib.udfvm_foresee_vm()


_WALLS: Final = {
    lib.UDFVM_WALL_FILTER: "filter",
    lib.UDFVM_WALL_PRIVILEGES: "privileges",
    lib.UDFVM_WALL_LIMITS: "limits",
    lib.UDFVM_WALL_FILES: "files",
    lib.UDFVM_WALL_NETWORK: "network",
    lib.UDFVM_WALL_USER: "user",
    lib.UDFVM_WALL_CGROUP: "cgroup",
}
WALLS: Final = tuple(_WALLS.values())


class Jail(NamedTuple):
    """That VMs run in processes of their own, in a cgroup if one is given."""

    cgroup: str | None = None

    @property
    def path(self) -> Any:
        """The cgroup, as the core takes it."""
        return ffi.NULL if self.cgroup is None else os.fsencode(self.cgroup)


def jail_walls(jail: Jail | None = None) -> tuple[str, ...]:
    """Returns the walls that stand around the process of a jailed VM here. Raises JailError if a
    VM cannot be jailed.
    """
    walls, error = ffi.new("unsigned *"), thread_error()
    if lib.udfvm_jail_probe((jail or Jail()).path, walls, error):
        raise exception(error)
    return tuple(name for wall, name in _WALLS.items() if walls[0] & wall)


def harden() -> None:
    """Whatever enters a guest in this process does so behind a filter of system calls from now on.
    Raises HardenError.
    """
    error = thread_error()
    if lib.udfvm_harden(error):
        raise exception(error)


def measure_exits(count: int) -> list[float]:
    """Returns the microseconds of exits from a minimal VM: the lowest cost that a call can have
    here.
    """
    samples, error = ffi.new("double[]", count), thread_error()
    if lib.udfvm_measure_exits(samples, count, error):
        raise exception(error)
    return list(samples)
