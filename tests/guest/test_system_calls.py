"""The page on system calls says which ones guests do not have, and how each ends."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from system_call_page import ABSENT, REFUSED, rows

import udfvm
from udfvm.installation import GUEST

ROOT = Path(__file__).resolve().parents[2]
DEFINED = re.compile(r"^SYSTEM_CALL(?:_ALIAS)?\((\w+)", flags=re.MULTILINE)
LATER = {"fork", "clone"}  # they are there for what they do without another process

LAST = 450  # of Linux 6.1, as the page has them; headers of later ones have more, all absent


def numbers() -> dict[str, int]:
    lines = (GUEST / "syscalls.txt").read_text().splitlines()
    return {name: int(number) for number, name in map(str.split, lines)}


def defined(pattern: str) -> set[str]:
    kernel = ROOT / "guest" / "kernel"
    return {name for path in kernel.glob(pattern) for name in DEFINED.findall(path.read_text())}


def test_the_page_has_every_call_that_the_kernel_does_not_serve() -> None:
    refused = {name for names, _ in rows(REFUSED) for name in names}
    absent = {name for names, _ in rows(ABSENT) for name in names} - LATER
    assert refused == defined("syscall/refused.c")
    known = {name for name, number in numbers().items() if number <= LAST} - {"uretprobe"}
    assert absent == known - defined("*/*.c")


@udfvm.udf
def errors_of(calls: list[int]) -> list[int]:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    return [ctypes.get_errno() if library.syscall(number) == -1 else 0 for number in calls]


def test_each_of_them_ends_as_the_page_says() -> None:
    expected = {
        name: getattr(errno, error.strip(" `|")) for names, error in rows(REFUSED) for name in names
    }
    expected |= {name: errno.ENOSYS for names, _ in rows(ABSENT) for name in names}
    expected.pop("clone")  # with arguments that ask for a process, which tests of threads pass
    found = errors_of([numbers()[name] for name in expected])
    assert dict(zip(expected, found, strict=True)) == expected
    assert set(errors_of([512, 1000, 5000])) == {errno.ENOSYS}


@udfvm.udf
def errors_of_parts(exchange: int, whiteout: int, collapse: int, requeue: int) -> list[int]:
    import ctypes
    import os

    library = ctypes.CDLL(None, use_errno=True)
    word = (ctypes.c_int * 1)(1)
    beneath = (ctypes.c_uint64 * 3)(0, 0, 8)  # struct open_how
    file = os.open("/tmp/file", os.O_CREAT | os.O_RDWR)
    os.link("/tmp/file", "/tmp/other")
    names = (-100, b"/tmp/file", -100, b"/tmp/other")
    calls = [
        lambda: library.renameat2(*names, exchange | whiteout),
        lambda: library.renameat2(*names, whiteout),
        lambda: library.fallocate(file, collapse, ctypes.c_long(0), ctypes.c_long(4096)),
        lambda: library.syscall(202, word, requeue, 1, 1, word, 1),
        lambda: library.syscall(437, -100, b"/tmp/file", beneath, ctypes.sizeof(beneath)),
        lambda: library.fcntl(file, 1024, 0),  # F_SETLEASE, F_RDLCK
        lambda: library.fcntl(file, 1026, 1),  # F_NOTIFY, DN_ACCESS
        lambda: library.personality(0x0020000),  # UNAME26
        lambda: library.prctl(22, 2),  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    ]
    return [ctypes.get_errno() if call() == -1 else 0 for call in calls]


def test_what_is_served_in_part_is_refused() -> None:
    expected = [errno.EINVAL, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOSYS]
    expected += [errno.EINVAL] * 4
    assert errors_of_parts(2, 4, 8, 12) == expected
