"""Hardened calls: a filter of system calls around the threads of this process that enter guests."""

from __future__ import annotations


def harden() -> None:
    """Puts a filter of system calls around whatever enters a guest in this process, for good.

    Micro-VMs that are not jailed run on threads of udfvm's own from now on, which can make some
    twenty system calls: none that opens a file, a connection or a program, nor starts a process or
    thread. Your threads have no filter, and host functions run on the thread that makes the call,
    as before. Calls that run already go on as they began. A second call of this does nothing.

    A function that breaks out of its micro-VM is still in the memory of your process. If that is
    not enough, use ``udfvm.Pool(jail=True)``.

    Raises HardenError if the system permits no filter. Nothing has changed then.
    """
    from udfvm import vmm

    vmm.harden()
