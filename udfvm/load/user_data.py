"""Data files of user packages, for functions that read them with ``importlib.resources`` or
``pkgutil``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from udfvm.errors import SignatureError
from udfvm.load.user_modules import UserModule
from udfvm.static_typing import Final

MAX_DATA: Final = 64 << 20  # bytes of all data that is shipped with a function

_READERS: Final = ("importlib.resources", "importlib_resources", "pkgutil")
_CODE: Final = (".py", ".pyc", ".pyi", ".so", ".pyd")
_TIME: Final = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same files make the same archive


def reads_data(modules: Iterable[str]) -> bool:
    """Returns True if one of these modules reads data files of packages."""
    return any(
        name == reader or name.startswith(reader + ".") for name in modules for reader in _READERS
    )


def data_files(name: str, modules: Iterable[UserModule]) -> bytes:
    """Returns the data files of packages, each in a folder of the package's name, as a zip archive;
    empty if there are none.

    Raises SignatureError if they are too large.
    """

    def contents() -> Iterator[tuple[str, bytes]]:
        size = 0
        for module in sorted(modules):
            if not module.is_package or not module.filename:
                continue
            for path, data in _contents_of(Path(module.filename).parent):
                size += len(data)
                if size > MAX_DATA:
                    raise SignatureError(
                        f"UDF {name!r}: data files of package {module.name!r} are larger than"
                        f" {MAX_DATA >> 20} MiB, too large to travel to a micro-VM: install the"
                        " package (not editable), or pass a large file by data="
                    )
                yield "/".join((*module.name.split("."), path)), data

    return archive_of(contents())


def archive_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Returns a zip archive of files by their names; empty if there are none."""
    import zipfile  # few functions need it

    buffer, count = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files:
            count += 1
            archive.writestr(zipfile.ZipInfo(name, _TIME), data)
    return buffer.getvalue() if count else b""


def _contents_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    if folder.is_dir():
        yield from ((path, (folder / path).read_bytes()) for path in files_of(folder))
    else:
        yield from _zipped_files_of(folder)


def files_of(folder: Path) -> Iterator[str]:
    """Returns data files of a folder by their relative paths, without those of packages in it."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            each
            for each in folders
            if each != "__pycache__" and not Path(parent, each, "__init__.py").exists()
        )
        for file in sorted(files):
            path = Path(parent, file)
            if not file.endswith(_CODE) and path.is_file():
                yield path.relative_to(folder).as_posix()


def _zipped_files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Does the same for a package in a zip file."""
    import zipfile

    archives = [parent for parent in folder.parents if parent.is_file()]
    if not archives:
        return
    prefix = folder.relative_to(archives[0]).as_posix() + "/"
    with zipfile.ZipFile(archives[0]) as archive:
        names = set(archive.namelist())
        for each in sorted(names):
            parents = [parent.as_posix() for parent in Path(each).parents]
            inner = [
                parent
                for parent in parents
                if parent.startswith(prefix) and f"{parent}/__init__.py" in names
            ]
            if each.startswith(prefix) and not inner and not each.endswith((*_CODE, "/")):
                yield each.removeprefix(prefix), archive.read(each)
