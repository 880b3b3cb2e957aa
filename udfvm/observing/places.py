"""Where the sockets of observed programs are: directories of one user that nobody else can enter.

A service may have no ``XDG_RUNTIME_DIR`` and a shell may have one, so who looks for programs looks
in all places, and a program takes the first that it can.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from udfvm.errors import ObserveError
from udfvm.texts import listed

LONGEST_ADDRESS: Final = 107  # bytes of a Unix socket's address


def directories(user: int | None = None) -> list[Path]:
    """Returns the directories in which sockets of a user's programs may be, this user's if None."""
    number = os.geteuid() if user is None else user
    return list(dict.fromkeys(_candidates(number, is_own=user is None)))


def _candidates(user: int, *, is_own: bool) -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if is_own and runtime.startswith("/"):
        yield Path(runtime) / "udfvm"
    if (usual := Path(f"/run/user/{user}")).is_dir():
        yield usual / "udfvm"
    yield Path(tempfile.gettempdir()) / f"udfvm-{user}"
    yield Path(f"/tmp/udfvm-{user}")


def is_private(directory: Path, user: int | None = None) -> bool:
    """Whether it is a directory of the user, which others can neither read nor enter."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def new_socket_path(name: str) -> Path:
    """Returns where a socket of this name may be made: in the first directory that can be used.
    Raises ObserveError.
    """
    reasons = []
    for directory in directories():
        path = directory / name
        if len(os.fsencode(path)) > LONGEST_ADDRESS - 1:  # it has a longer name at first
            reasons.append(f"{directory} has too long a name")
            continue
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            reasons.append(f"{directory}: {error.strerror}")
            continue
        if is_private(directory):
            return path
        reasons.append(f"{directory} is not a directory of this user alone")
    raise ObserveError(
        f"no socket can be made for `udfvm top`: {'; '.join(reasons)}. Set XDG_RUNTIME_DIR to a"
        " directory of your own"
    )


def places() -> str:
    """Returns the directories as a sentence has them."""
    return listed(directories())
