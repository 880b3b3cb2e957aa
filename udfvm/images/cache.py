"""The image cache: building images and replies once, listing them, and keeping the cache at its
size.

A file that nobody has a lock on (``cache_files.py``) can be removed: at once if it is a leftover.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from udfvm import vmm
from udfvm.errors import CacheError, ImageError
from udfvm.images.cache_files import (
    building,
    cache_directory,
    cache_size,
    explained,
    is_locked,
    make_directory,
    remove_unused,
    unlink,
    write_bytes,
    write_file,
)
from udfvm.images.cache_listing import (
    REPLIES,
    CacheFile,
    files_in_cache,
    known_bytes,
    names_in_cache,
    stored_bytes,
)
from udfvm.images.opened import open_cached
from udfvm.log import debug
from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple

_IMAGES: Final = (".base", ".layer")
_NAMES: Final = ("functions/*.udf", "runtimes/*.runtime")  # files that name images
_NOTE: Final = ".verified"
_LEFTOVERS: Final = (".tmp", ".lock")
_TRIES: Final = 5
_SLACK: Final = 8  # a full cache loses this part of its size at once


# ---- Images, and replies that are kept ----


def build_cached(
    path: Path, base: vmm.Image | None, build: Callable[[int], None], what: str
) -> vmm.Image:
    """Builds an image that was missing from the cache, unless another process does so, and opens
    it. ``build`` writes it to a descriptor, and ``what`` names it for the log.

    Raises CacheError, and what ``build`` raises.
    """
    max_size = cache_size()
    debug("%s: not in the cache (%s): it is built", what, path)
    began = time.monotonic()
    make_directory(path.parent)
    with building(path):
        for _ in range(_TRIES):
            if image := open_cached(path, base):
                break
            _sweep(names_in_cache())
            write_file(path, build)
        else:
            raise CacheError(
                f"something damages or removes {path} as soon as it is written: set UDFVM_CACHE to"
                " another directory"
            )
    debug("%s: there after %.3g s", what, time.monotonic() - began)
    _keep_size(max_size)
    return image


def cached_bytes(path: Path) -> bytes | None:
    """Returns the content of a file of the cache and marks it as used; None if it does not exist.
    Raises CacheError.
    """
    try:
        descriptor = vmm.open_private(path)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file, explained(path):
        # Sets the time of access: file systems mounted with noatime do not.
        with contextlib.suppress(OSError):
            os.utime(descriptor, ns=(time.time_ns(), os.fstat(descriptor).st_mtime_ns))
        return file.read()


def keep_bytes(path: Path, content: bytes) -> None:
    """Writes a file to the cache."""
    max_size = cache_size()
    write_bytes(path, content)
    _keep_size(max_size)


# ---- What is in the cache ----


class CacheEntry(NamedTuple):
    """An image of the cache.

    ``report`` is the build report, empty if the file cannot be read. ``used`` is when it was opened
    last.
    """

    path: Path
    kind: str
    stored_bytes: int
    used: float
    report: dict[str, Any]


def cache_entries() -> list[CacheEntry]:
    """Returns all images in the cache, the most recently used first.

    Raises CacheError if the directory does not belong to this user alone.
    """
    if not _usable():
        return []
    entries = [
        CacheEntry(
            file.path, file.path.suffix[1:], file.stored_bytes, file.used, _report(file.path)
        )
        for file in files_in_cache().values()
        if file.path.suffix in _IMAGES
    ]
    return sorted(entries, key=lambda entry: entry.used, reverse=True)


def _report(path: Path) -> dict[str, Any]:
    try:
        return vmm.read_metadata(path)
    except (OSError, ImageError):
        return {}


def _usable() -> bool:
    """Returns True if the cache exists. Raises CacheError if it must not be used."""
    try:
        os.close(vmm.open_private_directory(cache_directory()))
    except FileNotFoundError:
        return False
    return True


# ---- Removal ----


def _sweep(names: set[str]) -> None:
    """Removes leftovers of killed builds."""
    directory = cache_directory()
    for name in names:
        if name.endswith(_LEFTOVERS):
            if _is_file(directory / name):
                remove_unused(directory / name)
        elif (
            name.endswith(_NOTE)
            and name.removesuffix(_NOTE) not in names
            and _is_file(directory / name)
        ):
            unlink(directory / name)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _named() -> set[str]:
    """Returns the images that sealed functions and prepared runtimes name. Programs without Python
    need them.
    """
    names: set[str] = set()
    for pattern in _NAMES:
        for path in cache_directory().glob(pattern):
            with (
                contextlib.suppress(CacheError, FileNotFoundError),
                open(vmm.open_private(path), "rb") as file,
            ):
                pairs = (
                    line.split() for line in file.read().decode("utf-8", "replace").splitlines()
                )
                names.update(
                    pair[1] for pair in pairs if len(pair) == 2 and pair[0] in ("base", "layer")
                )
    return names


def _by_use(files: dict[str, CacheFile]) -> list[CacheFile]:
    """Returns the files that may be removed, in the order of removal: layers without their base,
    then the least recently used. A base counts as used when one of its layers is, and follows them.
    """
    kept, identities = _named(), {}
    candidates = {
        name: file
        for name, file in files.items()
        if file.path.suffix in (*_IMAGES, *REPLIES) and name not in kept
    }
    for name, file in files.items():
        with contextlib.suppress(OSError, ImageError):
            if file.path.suffix in _IMAGES and (identity := vmm.read_identity(file.path)):
                identities[name] = identity
    bases = {digest: name for name, (digest, _) in identities.items() if name.endswith(".base")}
    used = {name: file.used for name, file in candidates.items()}
    for name, (_, base_digest) in identities.items():
        base = bases.get(base_digest)
        if name.endswith(".layer") and base is None and name in used:
            used[name] = 0.0
        elif base in used and name.endswith(".layer"):
            used[base] = max(used[base], files[name].used)
    order = sorted(candidates, key=lambda name: (used[name], name.endswith(".base")))
    return [candidates[name] for name in order]


class Pruned(NamedTuple):
    """What was removed, as a number of files and bytes on disk, and the bytes that are left."""

    files: int
    removed_bytes: int
    left_bytes: int


def prune(max_size: int | None = None) -> Pruned:
    """Removes leftovers of killed builds, and the least recently used files until the cache takes
    ``max_size`` bytes on disk (default: ``$UDFVM_CACHE_SIZE``).

    Files that any process uses stay, and so do images that sealed functions and prepared runtimes
    name.
    """
    if max_size is None:
        max_size = cache_size()
    if not _usable():
        return Pruned(0, 0, 0)
    before = stored_bytes()
    _sweep(names_in_cache())
    files = files_in_cache()
    left, removed = sum(file.stored_bytes for file in files.values()), 0
    for file in _by_use(files) if left > max_size else ():
        if left <= max_size:
            break
        if is_locked(file.path.with_suffix(".lock")) or not remove_unused(file.path):
            continue  # being built, or in use
        removed += 1
        left -= file.stored_bytes
        note = files.get(f"{file.path.name}.verified")
        if note is not None:
            unlink(note.path)
            left -= note.stored_bytes
    return Pruned(removed, before - left, left)


def _keep_size(max_size: int) -> None:
    """Prunes after an addition, by more than that, so that the next ones need not. A build does not
    fail if this user may not remove the files of others.
    """
    with contextlib.suppress(CacheError, OSError):
        names = names_in_cache()
        _sweep(names)
        if known_bytes(names) > max_size:
            prune(max_size - max_size // _SLACK)


class Cleared(NamedTuple):
    """The numbers of images that were removed, and of those that stay because sealed functions and
    prepared runtimes name them.
    """

    removed: int
    kept: int


def clear_cache(*, everything: bool = False) -> Cleared:
    """Removes the images of the cache and all leftovers; with ``everything``, also sealed functions
    and prepared runtimes, with the images that they name.

    Images that are in use stay usable.
    """
    if not _usable():
        return Cleared(0, 0)
    _sweep(names_in_cache())
    named = set() if everything else _named()
    removed = kept = 0
    for pattern in (f"*{suffix}" for suffix in (*_IMAGES, *REPLIES, ".verified")):
        for path in cache_directory().glob(pattern):
            if path.name.removesuffix(".verified") in named:
                kept += path.suffix in _IMAGES
            else:
                removed += unlink(path) and path.suffix in _IMAGES
    for pattern in _NAMES if everything else ():  # they name removed images
        for path in cache_directory().glob(pattern):
            unlink(path)
    return Cleared(removed, kept)
