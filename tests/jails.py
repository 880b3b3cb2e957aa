"""The processes of jailed VMs of a program, for tests that look for them or end them."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path


def jails(program: int | None = None) -> list[int]:
    """The processes of a program's jailed VMs (None: this one): they map the same control area."""
    program = os.getpid() if program is None else program
    try:
        maps = Path(f"/proc/{program}/maps").read_text()
    except OSError:
        return []
    areas = {int(inode) for inode in re.findall(r" (\d+) +/memfd:udfvm-control", maps)}
    found: list[int] = []
    if not areas:
        return found
    for entry in Path("/proc").glob("[0-9]*/fd/4"):
        try:
            if entry.stat().st_ino in areas and "udfvm-control" in str(entry.readlink()):
                found.append(int(entry.parts[2]))
        except OSError:
            continue  # it ended, or is another user's
    return [process for process in found if process != program]


def times_in_control_areas(text: bytes) -> int:
    """How often a text is in what this process shares with those of its jailed VMs, beside their
    windows.
    """
    maps = Path("/proc/self/maps").read_text()
    areas = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*/memfd:udfvm-control", maps, re.MULTILINE)
    found = 0
    with open("/proc/self/mem", "rb") as memory:
        for begin, end in areas:
            memory.seek(int(begin, 16))
            found += memory.read(int(end, 16) - int(begin, 16)).count(text)
    return found


def new_jails(before: list[int]) -> list[int]:
    return sorted(set(jails()) - set(before))


def wait_for_its_end(process: int) -> None:
    """Returns when a process has ended."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 60)[0]
    finally:
        os.close(descriptor)
