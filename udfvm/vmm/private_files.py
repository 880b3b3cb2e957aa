"""Files that nobody but this user and root can have put in their place."""

from __future__ import annotations

import os
from pathlib import Path

from udfvm.vmm._core import ffi, lib
from udfvm.vmm.failures import file_exception, thread_error


def open_private(path: Path, flags: int = os.O_RDONLY) -> int:
    """Returns a descriptor of a regular file that nobody but this user and root can have put in its
    place. It neither waits nor follows a link.

    Raises FileNotFoundError, and CacheError, which says what is wrong and what to do.
    """
    error = thread_error()
    descriptor = lib.udfvm_private_open(
        os.fsencode(path.parent), os.fsencode(path.name), flags, error
    )
    if descriptor < 0:
        raise file_exception(error, path)
    return int(descriptor)


def open_private_directory(path: Path) -> int:
    """Does the same for a directory."""
    error = thread_error()
    descriptor = lib.udfvm_private_open(os.fsencode(path), ffi.NULL, os.O_RDONLY, error)
    if descriptor < 0:
        raise file_exception(error, path)
    return int(descriptor)
