"""What a soak measures of this process, its children, and its cache."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.25
SAME_LOOKS = 6  # longer than threads of the core stay without work
MOST_LOOKS = 80
# Threads that engines and allocators begin and end as they like, by their names.
OF_ENGINES = (
    *("event_engine", "lifeguard", "grpc_global_tim"),
    *("tokio-rt-worker", "async-executor-", "jemalloc_bg_thd"),
)


@dataclass(frozen=True)
class Sample:
    """One moment: bytes, counts, and microseconds of the reference call."""

    seconds: float  # since the soak began
    resident: int  # memory of this process and its children
    descriptors: int
    mappings: int
    threads: int
    children: int  # and theirs
    cache: int  # on disk
    median: float
    p99: float
    exit_median: float  # of a bare exit and re-entry
    exit_p99: float


def descendants(process: int) -> list[int]:
    """Returns the processes below a process."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended
        parents.setdefault(parent, []).append(int(path.parts[2]))
    found = list(parents.get(process, []))
    for each in found:
        found += parents.get(each, [])
    return found


def resident(process: int) -> int:
    """Returns the bytes of memory that a process has alone, or shares."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def on_disk(folder: Path) -> int:
    """Returns the bytes of a folder's files."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue  # it went
    return total


def threads() -> int:
    """Returns the number of threads of this process, without those of engines."""
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        try:
            count += path.read_text().rstrip() not in OF_ENGINES
        except OSError:
            continue  # it ended
    return count


def counts() -> tuple[int, int, int, int]:
    """Returns descriptors, mappings, threads, and children, theirs included."""
    with open("/proc/self/maps", encoding="utf-8") as lines:
        mappings = sum(1 for _ in lines)
    return (
        len(os.listdir("/proc/self/fd")),
        mappings,
        threads(),
        len(descendants(os.getpid())),
    )


def settle(trim: Iterable[Callable[[], object]]) -> tuple[int, int, int, int]:
    """Waits until nothing changes any more, and returns the counts."""
    seen: list[tuple[int, int, int, int]] = []
    for _ in range(MOST_LOOKS):
        for each in trim:
            each()
        gc.collect()
        seen.append(counts())
        if len(seen) >= SAME_LOOKS and len(set(seen[-SAME_LOOKS:])) == 1:
            break
        time.sleep(LOOK_SECONDS)
    return seen[-1]
