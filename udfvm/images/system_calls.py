"""Names of Linux system calls on x86-64, for build reports."""

from __future__ import annotations

import functools

from udfvm.installation import GUEST


@functools.cache
def _names() -> dict[int, str]:
    table = (GUEST / "syscalls.txt").read_text()
    return {int(number): name for number, name in (line.split() for line in table.splitlines())}


def syscall_name(number: int) -> str:
    """Returns the name of a system call, or ``syscall_<number>`` if the headers of the build did
    not have it.

    >>> syscall_name(0), syscall_name(9999)
    ('read', 'syscall_9999')
    """
    return _names().get(number, f"syscall_{number}")
