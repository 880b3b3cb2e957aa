"""User modules, which are not in the guest's file system. They are imported from the sources that
were shipped with the function.
"""

from __future__ import annotations

import contextlib
import errno
import linecache
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class UserModules(Loader):
    """A finder and loader of modules, for ``sys.meta_path``."""

    def __init__(self, modules: Iterable[tuple[str, str, bool, str]], data: str = "") -> None:
        """``data`` is a zip archive of data files, in base64, each in a folder of its package's
        name.
        """
        self._modules = {
            name: (filename, is_package, text) for name, filename, is_package, text in modules
        }
        self._data = _DataFiles(data) if data else None

    def install(self) -> None:
        """Makes the modules importable, before all others, as the host found them under their
        names.
        """
        if self._modules:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The protocol of ``importlib.abc.MetaPathFinder``."""
        if name not in self._modules:
            return None
        filename, is_package, _ = self._modules[name]
        specification = ModuleSpec(name, self, origin=filename or None, is_package=is_package)
        specification.has_location = bool(filename)
        return specification

    def create_module(self, specification: ModuleSpec) -> None:
        """The protocol of ``importlib.abc.Loader``: an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """The protocol of ``importlib.abc.Loader``."""
        filename, _, text = self._modules[module.__name__]
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        exec(
            compile(text, filename or f"<{module.__name__}>", "exec", dont_inherit=True),
            module.__dict__,
        )

    def get_source(self, name: str) -> str:
        """The protocol of ``importlib.abc.InspectLoader``."""
        return self._modules[name][2]

    def get_resource_reader(self, name: str) -> _Reader | None:
        """The protocol of ``importlib.resources``."""
        return self._data.reader(name) if self._data else None

    def get_data(self, path: str) -> bytes:
        """The protocol of ``importlib.abc.ResourceLoader``, which ``pkgutil.get_data`` uses."""
        for name, (filename, is_package, _) in self._modules.items():
            folder = filename.rpartition("/")[0] + "/"
            if self._data and is_package and filename and path.startswith(folder):
                with contextlib.suppress(FileNotFoundError):
                    return self._data.read(name, path.removeprefix(folder))
        raise FileNotFoundError(errno.ENOENT, "no data file of a package that came along", path)


class _Reader:
    """Reads the files of a package for ``importlib.resources``."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def files(self) -> Any:
        """The package's folder."""
        return self._root


class _DataFiles:
    """Data files of packages, in memory."""

    def __init__(self, data: str) -> None:
        import base64
        import io
        import zipfile

        self._archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(data)))
        self._path = zipfile.Path

    def reader(self, name: str) -> _Reader:
        return _Reader(self._path(self._archive, name.replace(".", "/") + "/"))

    def read(self, name: str, path: str) -> bytes:
        try:
            return self._archive.read(f"{name.replace('.', '/')}/{path}")
        except KeyError:
            raise FileNotFoundError(path) from None
