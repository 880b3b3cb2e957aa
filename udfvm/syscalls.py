"""Names of Linux system calls on x86-64, for build reports."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def _names() -> dict[int, str]:
    table = Path(__file__).resolve().parent / "_guest" / "syscalls.txt"
    return {int(number): name for number, name in (line.split() for line in table.read_text().splitlines())}


def syscall_name(number: int) -> str:
    """The name of a system call, or ``syscall_<number>`` for one that the headers of the build did not know.

    >>> syscall_name(0), syscall_name(9999)
    ('read', 'syscall_9999')
    """
    return _names().get(number, f"syscall_{number}")
