"""Options of pools whose VMs run in processes of their own."""

from __future__ import annotations

import os

from udfvm.checks import check_switch, shown
from udfvm.errors import OptionError


def jail_options(jail: object, cgroup: object) -> tuple[bool, str | None]:
    """Returns what ``jail=`` and ``cgroup=`` mean. Raises OptionError.

    >>> jail_options(True, None)
    (True, None)
    """
    jailed = os.environ.get("UDFVM_JAIL") == "1" if jail is None else check_switch("jail", jail)
    if cgroup is None:
        return jailed, None
    if not isinstance(cgroup, str | os.PathLike):
        raise OptionError(f"cgroup= takes the path of a directory; got {shown(cgroup)}")
    if not jailed:
        raise OptionError("cgroup= is for the processes of jailed VMs: pass jail=True, too")
    return jailed, os.fspath(cgroup)
