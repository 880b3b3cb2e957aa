"""One sealed function as one file, for ``vm_attach`` in programs without Python.

The file: a note of ``HEAD`` bytes, text padded with zeros, with lines of a key and a value; the
base image; the layer of the function. Images begin at a page and keep their holes.
``src/sql/sealed_file.c`` reads it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from udfvm import vmm
from udfvm.errors import SealError
from udfvm.images.cache_files import cache_directory
from udfvm.images.host import processor

HEAD: Final = 64 << 10
_PAGE: Final = 4096


def write_sealed_file(path: Path, note: Mapping[str, object], *, replace: bool) -> None:
    """Writes the function of a note, as ``sealed.seal`` makes it, as a whole or not at all.

    Raises SealError if the file exists and ``replace`` is False, if the path is not a regular file,
    and if it cannot be written.
    """
    try:
        _check(path, replace)
        with new_file(path, replace) as target:
            end, offsets = HEAD, {}
            for part in ("base", "layer"):
                length = _append(target, end, cache_directory() / str(note[part]))
                offsets[part] = f"{end} {length}"
                end += length + -length % _PAGE
            os.ftruncate(target, end)
            lines = {**note, **offsets, "processor": vmm.sha256(processor().encode()).hex()}
            text = "".join(f"{key} {value}\n" for key, value in lines.items()).encode()
            if len(text) >= HEAD:
                raise SealError(f"{path}: the signature is too long for a file")
            os.pwrite(target, text, 0)
    except OSError as error:
        raise SealError(f"{path} cannot be written: {error.strerror}") from error


def _check(path: Path, replace: bool) -> None:
    """Raises SealError unless the path is free or a regular file: a device, say, would be lost."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        found = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise SealError(
            f"{path} is {found}, which is never replaced: pass the name of another file"
        )
    if not replace:
        raise SealError(f"{path} exists already: pass --replace, or the name of another file")


@contextlib.contextmanager
def new_file(path: Path, replace: bool) -> Iterator[int]:
    """Yields a descriptor of a new file, which becomes ``path`` at the end.

    It is not written like a file of the cache (``images.cache_files.write_file``). It lies in a
    folder that is not swept, so it needs no lock; others may read it; and without ``replace`` it
    must not replace a file that appeared meanwhile.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        yield descriptor
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
        _check(path, replace)  # writing takes a while: the path may have changed
        if replace:
            os.rename(temporary, path)
        else:
            os.link(temporary, path)
            os.unlink(temporary)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _append(target: int, start: int, image: Path) -> int:
    """Copies the data of an image, without its holes, to ``start``. Returns the image's length."""
    source = vmm.open_private(image)
    try:
        length = os.fstat(source).st_size
        at = 0
        while at < length:
            try:
                at = os.lseek(source, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            hole = os.lseek(source, at, os.SEEK_HOLE)
            os.lseek(target, start + at, os.SEEK_SET)
            while at < hole:
                sent = os.sendfile(target, source, at, hole - at)
                if not sent:
                    raise SealError(f"{image} became shorter while it was copied")
                at += sent
        return length
    finally:
        os.close(source)
