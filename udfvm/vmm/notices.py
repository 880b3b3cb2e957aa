"""What the core says of VMs that start and end."""

from __future__ import annotations

from collections.abc import Callable

from udfvm.static_typing import Any, Final
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import failures_kept

STARTED: Final = lib.UDFVM_VM_STARTED
#: Why a VM ended, by ``enum udfvm_vm_event``.
ENDINGS: Final = {
    lib.UDFVM_VM_ENDED_IDLE: "it was idle for long",
    lib.UDFVM_VM_ENDED_SURPLUS: "more were idle than are kept",
    lib.UDFVM_VM_ENDED_ROOM: "it was idle, and made room for one with larger windows",
    lib.UDFVM_VM_ENDED_SHUT: "its pool is closed",
    lib.UDFVM_VM_ENDED_ONCE: "it had larger windows, for one call",
    lib.UDFVM_VM_ENDED_BROKEN: "it could not be put back",
    lib.UDFVM_VM_ENDED_DIED: "its process ended",
}


class _Hook:
    """What takes ``struct udfvm_vm_notice *``."""

    take: Callable[[Any], object] | None = None


def set_vm_hook(take: Callable[[Any], object] | None) -> None:
    """Sets what is called where a VM of a pool starts or ends. It must not raise, and not keep the
    notice. None: nothing is.
    """
    if take is _Hook.take:
        return
    _Hook.take = take
    lib.udfvm_set_vm_hook(
        ffi.NULL if take is None else ffi.addressof(lib, "udfvm_python_vm_beside")
    )


def _not_told(_kind: object, exception: BaseException, _traceback: object) -> int:
    return int(isinstance(exception, KeyboardInterrupt))


@ffi.def_extern(onerror=_not_told)
def udfvm_python_vm(notice: Any) -> int:
    """Calls the hook. Returns 1 where Ctrl-C ended it."""
    if (take := _Hook.take) is not None:
        with failures_kept():
            take(notice)
    return 0
