"""What the next call finds of a call before: see leak_guest.py. Runs in the guest."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
from typing import Any

MARK = 16  # bytes
kept: list[Any] = []  # what a call leaves alive


def library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _areas(at: dict[str, int], everything: bool) -> list[tuple[int, int]]:
    """All that a program can read; or what it and its kernel write, unless they run wild."""
    flags = ctypes.c_uint32.from_address(at["input"] + 4).value
    opened = bool(flags & 2)
    window = (at["output"], at["output"] + (at["unlogged_end"] if opened else at["logged"]))
    stack = at["memory_end"] - (8 << 20)
    found = [(at["kernel"], at["program"]), window, (at["input"] + 4096, at["input"] + (4 << 20))]
    if everything:
        return [*found, (at["program"], stack - at["guard"]), (stack, at["memory_end"])]
    with open("/proc/self/maps") as file:
        maps = [line.split()[0].split("-") for line in file if line.split()[1][1] == "w"]
    mapped = [(int(start, 16), int(end, 16)) for start, end in maps]
    return [*found, *(area for area in mapped if at["program"] <= area[0] < at["memory_end"])]


def hits(hidden: bytes, at: dict[str, int], everything: bool) -> int:
    """How often the mark is there, which is told by its complement."""
    areas = _areas(at, everything)
    wanted = (ctypes.c_uint8 * MARK)()
    for index, byte in enumerate(hidden):  # one by one, so that there is no other copy
        wanted[index] = byte ^ 0xFF
    find = library().memmem
    find.restype = ctypes.c_void_p
    find.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
    found = 0
    for start, end in areas:
        while start < end and (hit := find(start, end - start, wanted, MARK)):
            found += hit != ctypes.addressof(wanted)
            start = hit + 1
    return found


def state() -> dict[str, Any]:
    """What a program sees of its process, and is the same in each fresh call."""
    import decimal
    import locale
    import resource
    import time

    umask = os.umask(0)
    os.umask(umask)
    numbers = range(1, signal.NSIG)
    stack = (ctypes.c_uint64 * 3)()
    library().sigaltstack(None, stack)
    name = ctypes.create_string_buffer(16)
    library().prctl(16, name, 0, 0, 0)  # PR_GET_NAME
    return {
        "files": sorted(os.listdir("/tmp") + os.listdir("/dev/shm")),
        "environment": dict(os.environ),
        "raw environment": str(library().getenv(b"RAW")),
        "folder": os.getcwd(),
        "umask": umask,
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "flags": [os.get_blocking(0), os.get_blocking(1)],
        "handlers": [str(signal.getsignal(number)).split(" at ")[0] for number in numbers],
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "pending": sorted(map(int, signal.sigpending())),
        "alternate stack": list(stack),
        "name": name.value.decode("latin-1"),
        "limits": [resource.getrlimit(which) for which in range(16)],
        "affinity": sorted(os.sched_getaffinity(0)),
        "niceness": os.nice(0),
        "zone": [time.timezone, *time.tzname],
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": [thread.name for thread in threading.enumerate()],
        "modules": len(sys.modules),
        "recursion": sys.getrecursionlimit(),
        "switches": sys.getswitchinterval(),
        "decimals": decimal.getcontext().prec,
        "kept": len(kept),
        "left": "Left" in globals(),
        "rounding": 1.0 / 3.0 * 1e-310,  # zero if MXCSR flushes
    }


def chance() -> list[str]:
    """Random numbers of all kinds: none may come again."""
    import uuid

    return [os.urandom(8).hex(), str(random.random()), str(uuid.uuid4()), random.randbytes(8).hex()]


def search(hidden: bytes, at: dict[str, int], everything: bool) -> dict[str, Any]:
    """All that a search finds."""
    return {"hits": hits(hidden, at, everything), "state": state(), "chance": chance()}
