"""LTP's tests of system calls, and which of them are of calls that guests have."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import system_call_page
from ltp import build

# Folders of tests whose names are not those of the calls that they are about.
CALLS = {
    "cma": "process_vm_readv",
    "execl": "execve",
    "execle": "execve",
    "execlp": "execve",
    "execv": "execve",
    "execvp": "execve",
    "fanotify": "fanotify_init",
    "getdents": "getdents64",
    "inotify": "inotify_init",
    "io_uring": "io_uring_setup",
    "ipc": "semget",
    "landlock": "landlock_create_ruleset",
    "pkeys": "pkey_alloc",
    "umount": "umount2",
    "wait": "wait4",
    "waitpid": "wait4",
}
# Those of calls that came after Linux 6.1, which guests follow.
LATER = {"cachestat", "fchmodat2", "file_attr", "listmount", "lsm", "mseal", "statmount"}


@dataclass(frozen=True)
class Case:
    """A test: its name, its program, and the program's arguments."""

    name: str
    program: Path
    arguments: tuple[str, ...]


def folders_left_out(folder: Path) -> set[str]:
    """Returns the folders of tests of calls that guests do not have."""
    absent = system_call_page.absent() | LATER
    names = {each.name for each in (folder / build.SYSCALLS).iterdir()}
    return {name for name in names if CALLS.get(name, name) in absent}


def tests_of(folder: Path) -> tuple[list[Case], Counter[str]]:
    """Returns the tests of calls that guests have, and counts the others by what keeps them out."""
    programs = build.programs(folder)
    sources = {each.stem: each for each in (folder / build.SYSCALLS).rglob("*.c")}
    absent = folders_left_out(folder)
    tests, left_out = [], Counter[str]()
    for line in (folder / "runtest/syscalls").read_text().splitlines():
        name, *command = shlex.split(line, comments=True) or [""]
        if not command:
            continue
        program, *arguments = command
        source = sources.get(program) or sources.get(re.sub(r"_(16|32|64)$", "", program))
        if source is not None and folder_of(source) in absent:
            left_out["of calls that guests do not have"] += 1
        elif program in programs:
            tests.append(Case(name, programs[program], tuple(arguments)))
        else:
            left_out["not built on this machine"] += 1
    return tests, left_out


def folder_of(path: Path) -> str:
    """Returns the folder that a test lies in: in most cases the name of a system call."""
    parts = path.parts
    return parts[parts.index("syscalls") + 1]
