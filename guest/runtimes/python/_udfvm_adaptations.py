"""Modules of the standard library that start processes for what needs none here. They are changed
when the program imports them: most never do.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
import site
import struct
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

_CACHE: Final = "/etc/ld.so.cache"
_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER: Final = struct.Struct("<20sII20x")  # of glibc's struct cache_file_new
_ENTRY: Final = struct.Struct("<iIIIQ")  # of its struct file_entry_new
_X86_64: Final = 0x0303  # flags of a library: ELF, for glibc, for x86-64


def install() -> None:
    """Changes the modules from now on, and defines the names that ``site`` adds to the builtins.

    The interpreter starts without ``site``, because it would look for the host's configuration.
    """
    sys.meta_path.insert(0, _Adapter())
    site.setquit()
    site.setcopyright()
    site.sethelper()


class _Adapter:
    """A finder that has the others find a module, and changes it when it was executed."""

    @staticmethod
    def find_spec(
        name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        adapt = _ADAPTATIONS.get(name)
        if adapt is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _adapt_after(spec.loader, adapt)
        return spec


def _adapt_after(loader: Any, adapt: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module
        execute(module)
        adapt(module)

    loader.exec_module = exec_module


def _find_libraries(module: Any) -> None:
    """``find_library`` asks ldconfig, a compiler and a linker. Here it reads the linker's cache, in
    which ldconfig looks.
    """
    find = module.find_library

    def find_library(name: str) -> str | None:
        return cached_library(name) or find(name)

    module.find_library = find_library


def cached_library(name: str) -> str | None:
    """Returns the file name of a shared library, such as ``libm.so.6`` for ``m``; None if the cache
    of the dynamic linker has none.
    """
    pattern = re.compile(rf"lib{re.escape(name)}\.\S+")
    return next(filter(pattern.fullmatch, _cached_libraries()), None)


def _cached_libraries() -> Iterator[str]:
    """Yields the names in the linker's cache, in its order, which is the order of ``ldconfig``."""
    try:
        with open(_CACHE, "rb") as file:
            data = file.read()
    except OSError:
        return
    data = data[max(data.find(_MAGIC), 0) :]  # an older cache may precede it
    if not data.startswith(_MAGIC):
        return
    count = _HEADER.unpack_from(data)[1]
    for index in range(count):
        flags, key, _, _, _ = _ENTRY.unpack_from(data, _HEADER.size + index * _ENTRY.size)
        if flags == _X86_64:
            yield os.fsdecode(data[key : data.index(b"\0", key)])


def _track_nothing(module: Any) -> None:
    """The tracker is a process that removes what others leave behind. Here a call's files go with
    the call.
    """
    tracker = module.ResourceTracker
    tracker.ensure_running = tracker._send = lambda *_: None
    tracker.getfd = _refuse_descriptor
    module.ensure_running = module._resource_tracker.ensure_running
    module.getfd = module._resource_tracker.getfd


def _refuse_descriptor(_: Any) -> int:
    """Who asks for the tracker's descriptor is about to start a process, which would have it."""
    return os.fork()  # raises what starting that process would


_ADAPTATIONS: Final[dict[str, Callable[[Any], None]]] = {
    "ctypes.util": _find_libraries,
    "multiprocessing.resource_tracker": _track_nothing,
}
