"""Lines of the log about micro-VMs and pools, by the logger ``udfvm`` at the level DEBUG.

The core tells of VMs only while that level is on, which is looked at where a function's image is
made ready: without it, a VM that starts or ends costs a look at one pointer.
"""

from __future__ import annotations

from udfvm.log import debug, debugs
from udfvm.static_typing import Any, Final

#: Of pools, by the address of the core's object.
_names: Final[dict[int, str]] = {}


def follow_level(address: int, pool: str) -> None:
    """Lets the core tell of VMs, if the level is on. ``pool`` names the pool of the core's that is
    at this address.
    """
    if not debugs():
        return
    from udfvm.vmm.notices import set_vm_hook

    _names[address] = pool
    set_vm_hook(_log)


def _log(notice: Any) -> None:
    from udfvm.texts import counted
    from udfvm.vmm._core import ffi
    from udfvm.vmm.notices import ENDINGS, STARTED

    kind = "jailed micro-VM" if notice.jailed else "micro-VM"
    where = _names.get(int(ffi.cast("uintptr_t", notice.pool)), "a pool")
    time = f"{notice.ns / 1e9:.3g} s"
    if notice.event == STARTED:
        debug("%s: a %s started, in %s", where, kind, time)
    else:
        why = ENDINGS[notice.event]
        calls = counted(notice.calls, "call")
        debug("%s: a %s ended after %s and %s: %s", where, kind, time, calls, why)
