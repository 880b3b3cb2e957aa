"""What is in the image cache, and how much of the disk it takes.

A cache may have thousands of files, and every build looks at it. So builds ask for no more than
names, and for the sizes of files that this process has not seen.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from udfvm.errors import CacheError
from udfvm.images.cache_files import cache_directory
from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple

REPLIES: Final = (".compiled", ".contents", ".description")
_FOLDERS: Final = ("", "functions/", "runtimes/")
_BLOCK: Final = 512  # the unit of st_blocks
_UNFINISHED: Final = ".tmp"


class CacheFile(NamedTuple):
    """A file of the cache.

    ``bytes`` is its size on disk, without holes; ``used`` is when it was used last, in seconds
    since 1970.
    """

    path: Path
    stored_bytes: int
    used: float


_known: Final[dict[Path, dict[str, int]]] = {}  # sizes by the cache's directory and their names


class _Readable:
    """A context that reads a directory, which need not be there.

    No generator makes it: in Python 3.13, such a context that drops an exception keeps its frame,
    and so everything that callers refer to, until garbage is collected.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        pass

    def __exit__(self, class_: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, PermissionError):
            raise CacheError(
                f"{self._directory} cannot be read: check its permissions, or set UDFVM_CACHE to"
                " another directory"
            ) from error
        return isinstance(error, (FileNotFoundError, NotADirectoryError))


def names_in_cache() -> set[str]:
    """Returns the relative paths of all that is in the cache. Raises CacheError."""
    directory = cache_directory()
    found: set[str] = set()
    for folder in _FOLDERS:
        with _Readable(directory / folder):
            found.update(folder + name for name in os.listdir(directory / folder))
    return found


def known_bytes(names: set[str]) -> int:
    """Returns the bytes that these files of the cache take on disk. A file is never written again
    under its name, so it has the size that it had before.
    """
    directory = cache_directory()
    before = _known.get(directory, {})
    sizes, unfinished = {}, 0
    for name in names:
        size = before.get(name)
        if size is None:
            size = _size(directory / name)
            if name.endswith(_UNFINISHED):
                unfinished += size
                continue
        sizes[name] = size
    _known[directory] = sizes
    return sum(sizes.values()) + unfinished


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            return int(status.st_blocks) * _BLOCK
    return 0


def _used(name: str, status: os.stat_result) -> float:
    return max(status.st_mtime, status.st_atime) if name.endswith(REPLIES) else status.st_mtime


def files_in_cache() -> dict[str, CacheFile]:
    """Returns the regular files of the cache by their relative paths. Raises CacheError."""
    directory = cache_directory()
    found: dict[str, CacheFile] = {}
    for folder in _FOLDERS:
        with _Readable(directory / folder), os.scandir(directory / folder) as entries:
            found.update(_files(entries, folder))
    for name, file in found.items():
        note = found.get(f"{name}.verified")
        if note is not None:
            found[name] = file._replace(used=max(file.used, note.used))
    return found


def _files(entries: Any, folder: str) -> Iterator[tuple[str, CacheFile]]:
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                used = _used(entry.name, status)
                yield (
                    folder + entry.name,
                    CacheFile(Path(entry.path), status.st_blocks * _BLOCK, used),
                )


def stored_bytes() -> int:
    """Returns the bytes that the cache takes on disk."""
    return sum(file.stored_bytes for file in files_in_cache().values())
