"""Leaks that a soak plants, to show that it finds them: some of each kind a sample."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_held: list[object] = []
BYTES = 64 << 20
COUNT = 40


def _thread() -> threading.Thread:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


def _child() -> subprocess.Popen[bytes]:
    """A process that ends with this one."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def _mappings() -> list[mmap.mmap]:
    """Some that do not grow together with their neighbours."""
    return [mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_SHARED) for _ in range(COUNT)]


def _file() -> Path:
    path = Path(os.environ["UDFVM_CACHE"]) / f"leak{len(_held)}"
    path.write_bytes(bytes(BYTES))
    return path


PLANTS: dict[str, Callable[[], object]] = {
    "resident": lambda: bytearray(os.urandom(1) * BYTES),
    "descriptors": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(COUNT)],
    "mappings": _mappings,
    "threads": _thread,
    "children": _child,
    "cache": _file,
}


def plant(names: tuple[str, ...]) -> None:
    """Leaks some of each, which nothing frees before the process ends."""
    _held.extend(PLANTS[name]() for name in names)
