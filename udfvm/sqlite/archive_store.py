"""Where archives of functions are: a folder, or a tar file. Files have names such as
``blobs/sha256/…``, and none that a stranger chose leads elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from udfvm.errors import SealError

_NAME: Final = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")
_MAX_MEMBERS: Final = 1000  # of a tar file
_MAX_READ: Final = 1 << 20  # bytes that are read of one at a time, headers of any size included


class Reader(Protocol):
    """An archive to read."""

    def open(self, name: str) -> IO[bytes]:
        """Opens a file. Raises ValueError if there is none, or it is no regular file."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        """Opens a file. No part of its path below the folder may be a link."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name {name[:100]!r}")
        *folders, last = name.split("/")
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for each in folders:
                inner = _opened(each, descriptor, os.O_DIRECTORY, name)
                os.close(descriptor)
                descriptor = inner
            file = _opened(last, descriptor, os.O_NONBLOCK, name)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ValueError(f"{name} is not a regular file")
        return os.fdopen(file, "rb")


def _opened(name: str, folder: int, flags: int, whole: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=folder)
    except OSError as error:
        raise ValueError(f"{whole} cannot be read: {error.strerror}") from error


class TarBytes(io.FileIO):
    """The bytes of a tar file. Its headers may say any length and place: a read is of no more than
    is allowed, and a place is one in the file.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads bytes. Raises ValueError for too many."""
        if size is None or not 0 <= size <= _MAX_READ:
            raise ValueError(f"it has a header of {size} bytes")
        return super().read(size) or b""

    def seek(self, place: int, whence: int = os.SEEK_SET, /) -> int:
        """Goes to a place. Raises ValueError for one that is not in the file."""
        if whence == os.SEEK_SET and not 0 <= place <= os.fstat(self.fileno()).st_size:
            raise ValueError("it ends before its last file does")
        return super().seek(place, whence)


class Tar:
    """A tar file, of which nothing is extracted."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file
        self._members: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(file, 1):
            if number > _MAX_MEMBERS:
                raise ValueError(f"it has more than {_MAX_MEMBERS} files")
            name = member.name.removeprefix("./")
            if member.isreg() and not member.issparse() and _NAME.fullmatch(name):
                if name in self._members:
                    raise ValueError(f"it has {name} twice")
                self._members[name] = member

    def open(self, name: str) -> IO[bytes]:
        """Opens a file. Nothing is extracted, so links and other names lead nowhere."""
        found = self._file.extractfile(self._members[name]) if name in self._members else None
        if found is None:
            raise ValueError(f"it has no file {name}")
        return found


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Reader]:
    """Opens an archive. Raises OSError, ValueError or tarfile.TarError."""
    if path.is_dir():
        yield _Folder(path)
        return
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is neither a folder nor a regular file")
    with TarBytes(path) as data, tarfile.open(fileobj=data, mode="r:") as file:
        yield Tar(file)


# ---- Writing ----


class Blob(io.RawIOBase):
    """A blob that is being written, whose name will be its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Writes bytes."""
        view = memoryview(data)  # type: ignore[arg-type]
        self._file.write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    @property
    def digest(self) -> str:
        """``sha256:…`` of what was written."""
        return f"sha256:{self._hash.hexdigest()}"


class Writer:
    """An archive that is being written, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def write(self, name: str, data: bytes) -> None:
        """Writes a file."""
        (self.folder / name).write_bytes(data)

    @contextlib.contextmanager
    def blob(self) -> Iterator[Blob]:
        """Yields a blob, which gets its name at the end."""
        path = self.folder / "blob"
        with path.open("wb") as file:
            made = Blob(file)
            yield made
        path.rename(self.folder / "blobs" / made.digest.replace(":", "/"))


@contextlib.contextmanager
def writing(path: Path, *, replace: bool) -> Iterator[Writer]:
    """Yields the writer of an archive that appears at the end, whole. Raises SealError if there is
    one; a folder is never replaced.
    """
    is_tar = path.suffix == ".tar"
    if path.exists() and (not (replace and is_tar) or not path.is_file()):
        advice = "pass --replace, or another name" if is_tar else "pass another name"
        raise SealError(f"{path} exists already: {advice}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        made = Writer(Path(temporary) / "archive")
        yield made
        if not is_tar:
            made.folder.rename(path)
            return
        packed = Path(temporary) / "tar"
        with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as file:
            for each in sorted(made.folder.rglob("*")):
                if each.is_file():
                    information = tarfile.TarInfo(str(each.relative_to(made.folder)))
                    information.size = each.stat().st_size
                    with each.open("rb") as data:
                        file.addfile(information, data)
        packed.rename(path)
