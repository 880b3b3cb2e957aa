"""Files of the image cache: their location, how they are written, and the locks that show their
use.

The cache uses only files that nobody but this user and root can have put there
(``udfvm/vmm/core/image/private_file.c``). An atomic rename gives them their names. With a lock one
of several processes builds while the others wait. A process that writes a file or uses an image
holds a lock on it, which ends with the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from udfvm import vmm
from udfvm.errors import CacheError, HostError
from udfvm.limits import parse_size
from udfvm.static_typing import Final

DEFAULT_SIZE: Final = 8 << 30
_ADVICE: Final = {
    errno.ENOSPC: (
        "free some space (`udfvm cache prune --size 1GiB`), or set UDFVM_CACHE to a directory on"
        " another disk"
    ),
    errno.EDQUOT: (
        "free some space (`udfvm cache prune --size 1GiB`), or set UDFVM_CACHE to a directory on"
        " another disk"
    ),
    errno.EFBIG: (
        "raise the limit of the process (ulimit -f), or set UDFVM_CACHE to a directory on another"
        " disk"
    ),
}


def cache_directory() -> Path:
    """Returns ``$UDFVM_CACHE``, else ``udfvm`` in the user's cache directory."""
    if chosen := os.environ.get("UDFVM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "udfvm"


def cache_size() -> int:
    """Returns the bytes that the cache may take on disk: ``$UDFVM_CACHE_SIZE``. Raises CacheError
    if that is not a size.
    """
    chosen = os.environ.get("UDFVM_CACHE_SIZE")
    try:
        return parse_size(chosen, "UDFVM_CACHE_SIZE") if chosen else DEFAULT_SIZE
    except ValueError as error:
        raise CacheError(str(error)) from None


# ---- Writing ----


def _failure(path: Path, number: int | None) -> CacheError:
    advice = _ADVICE.get(
        number or 0, "see to its permissions, or set UDFVM_CACHE to a directory that you can write"
    )
    return CacheError(f"{path} cannot be written: {os.strerror(number or errno.EIO)}: {advice}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns failures of system calls into CacheError."""
    try:
        yield
    except OSError as error:
        raise _failure(path, error.errno) from error


def make_directory(directory: Path) -> None:
    with explained(directory):
        for path in reversed([directory, *directory.parents]):
            if path.is_symlink() and not path.exists():
                advice = "remove it, or set UDFVM_CACHE to another directory"
                raise CacheError(
                    f"{path} is a symbolic link to a file that does not exist: {advice}"
                )
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _unlocking(descriptor: int) -> Iterator[None]:
    """Unlocks and closes. Closing alone would not unlock if a child was forked meanwhile: it shares
    the lock.
    """
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _unlock(descriptor)
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool = True) -> None:
    """Takes the lock of a file. Raises OSError, without ``wait`` also where another process has
    it.
    """
    import fcntl  # opening an image that is there takes its lock in the core

    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(descriptor: int) -> None:
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_at(descriptor: int, path: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def building(path: Path) -> Iterator[None]:
    """Holds the lock file of a build. It is removed afterwards, and a process that waited checks
    again.
    """
    lock = path.with_suffix(".lock")
    while True:
        descriptor = vmm.open_private(lock, os.O_RDWR | os.O_CREAT)
        with _unlocking(descriptor):
            with explained(lock):
                _lock(descriptor)
            if _is_at(descriptor, lock):
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # what is left is swept, or locked again
                        lock.unlink()
                return


def _temporary(path: Path) -> tuple[int, str]:
    """Makes a new locked file beside the target. The lock keeps others from sweeping it."""
    import tempfile  # only builds need it

    with explained(path):
        while True:
            descriptor, name = tempfile.mkstemp(
                dir=path.parent, prefix=f"{path.stem[:16]}.", suffix=".tmp"
            )
            with contextlib.suppress(OSError):  # file systems without locks
                _lock(descriptor)  # waits for one that is about to sweep it
            if _is_at(descriptor, name):
                return descriptor, name
            os.close(descriptor)


def write_file(path: Path, build: Callable[[int], None]) -> None:
    """Writes a file of the cache, as a whole or not at all. ``build`` writes it to a descriptor.

    The lock keeps the temporary file from being swept. ``sqlite.sealed_file`` writes to folders
    that nobody sweeps, for others to read, so it has a way of its own.

    Raises CacheError if it cannot be written.
    """
    make_directory(path.parent)
    os.close(vmm.open_private_directory(path.parent))
    descriptor, temporary = _temporary(path)
    with _unlocking(descriptor):
        try:
            try:
                build(descriptor)
            except HostError as error:
                if error.errno in _ADVICE:
                    raise _failure(path, error.errno) from error
                raise
            with explained(path):
                os.fsync(descriptor)
                os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # what is left is swept
                os.unlink(temporary)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a small file of the cache."""
    write_file(path, lambda descriptor: _write_all(path, descriptor, content))


def write_text(path: Path, text: str) -> None:
    """Writes a small text file of the cache."""
    write_bytes(path, text.encode())


def _write_all(path: Path, descriptor: int, content: bytes) -> None:
    with explained(path), open(descriptor, "wb", closefd=False) as file:
        file.write(content)


def check_writable(directory: Path) -> None:
    """Raises CacheError unless the cache's folder, made if need be, can take a file."""
    make_directory(directory)
    os.close(vmm.open_private_directory(directory))
    descriptor, temporary = _temporary(directory / "check")
    with _unlocking(descriptor):
        os.unlink(temporary)


# ---- Removal ----


def is_locked(path: Path) -> bool:
    """Returns True if a process has a lock on the file, or if that cannot be determined."""
    try:
        descriptor = vmm.open_private(path)
    except FileNotFoundError:
        return False
    except CacheError:
        return True
    with _unlocking(descriptor):
        try:
            _lock(descriptor, wait=False)
        except OSError:
            return True
    return False


def remove_unused(path: Path) -> bool:
    """Removes a file unless a process uses it. A process that opens it at that moment can still use
    it.
    """
    try:
        descriptor = vmm.open_private(path)
    except (FileNotFoundError, CacheError):
        return False
    with _unlocking(descriptor):
        try:
            _lock(descriptor, wait=False)
            if not _is_at(descriptor, path):
                return False
            path.unlink()
        except OSError:
            return False
    return True


def unlink(path: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        raise _failure(path, error.errno) from error
    return True
