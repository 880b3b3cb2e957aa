"""What may stand in the place of a file."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="other users' files and devices are made by root"
)
NOBODY: Final = 65534


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _link_to_itself(path: Path) -> None:
    kept = path.with_name(f"kept {path.name}")
    if path.exists():
        shutil.move(path, kept)
    else:
        kept.touch()
    path.symlink_to(kept)


def _with_mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        path.chmod(mode)

    return make


def _of_another_user(path: Path) -> None:
    path.touch()
    os.chown(path, NOBODY, NOBODY)


KINDS: Final[dict[str, Callable[[Path], None]]] = {
    "FIFO": os.mkfifo,
    "directory": Path.mkdir,
    "socket": _socket,
    "dangling link": lambda path: path.symlink_to(path.parent / "nowhere"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a good file": _link_to_itself,
    "writable by the group": _with_mode(0o660),
    "writable by all": _with_mode(0o606),
}
ROOTS_KINDS: Final[dict[str, Callable[[Path], None]]] = {
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
    "of another user": _of_another_user,
}
ALL_KINDS: Final = [*KINDS, *(pytest.param(kind, marks=needs_root) for kind in ROOTS_KINDS)]
_KEEP: Final = (
    "link to a good file",
    "writable by the group",
    "writable by all",
    "of another user",
)


def put(kind: str, path: Path) -> None:
    """Puts it there. What was there goes, unless it is what makes the kind."""
    if kind not in _KEEP:
        path.unlink(missing_ok=True)
    {**KINDS, **ROOTS_KINDS}[kind](path)


def remove(path: Path) -> None:
    """Removes whatever it is."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
