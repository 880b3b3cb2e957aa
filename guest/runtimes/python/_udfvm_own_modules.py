"""The user's own modules, which are not in the guest's file system: imported from the sources that came with the function."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType


class OwnModules(Loader):
    """A finder and loader of modules, for ``sys.meta_path``."""

    def __init__(self, modules: Iterable[tuple[str, str, bool, str]]) -> None:
        self._modules = {name: (filename, is_package, text) for name, filename, is_package, text in modules}

    def install(self) -> None:
        """Makes the modules importable, before all others: the host found them under their names."""
        if self._modules:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
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
        exec(compile(text, filename or f"<{module.__name__}>", "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name: str) -> str:
        """The protocol of ``importlib.abc.InspectLoader``."""
        return self._modules[name][2]
