"""What the names in a function mean: captured when its image is built, and compared before each call.

A function travels to its micro-VM with all that it refers to: globals, what its closure holds, helpers, classes, the user's own
modules, and what these refer to in turn. Python looks a name up when it is used, so a name that means another object than it did
needs another image. Compared are identities, of the places that user code can reach by names; objects that were changed in
place look the same: for them there is ``UDF.refresh``.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from opcode import opmap
from typing import Any, Final

from udfvm._bindings import ABSENT, changed
from udfvm.libraries import is_library, is_users

__all__ = ["Places", "capture", "changed"]

#: Containers, keys and what they held, one after the other; see ``changed``.
Places = tuple[object, ...]

_FUNCTION: Final = ("__code__", "__defaults__", "__kwdefaults__")
_OF_EVERY_CLASS: Final = frozenset({"__dict__", "__weakref__", "__module__", "__doc__", "__slots__"})


def capture(function: object) -> Places:
    """All places that a function, or a class, and user code that it refers to, look names up in.

    >>> def twice(x): return FACTOR * x
    >>> places = capture(twice)
    >>> changed(places)
    False
    >>> globals()["FACTOR"] = 2
    >>> changed(places)
    True
    """
    walk = _Walk()
    walk.visit(function, frozenset())
    return tuple(walk.places)


class _Walk:
    """A walk over what user code refers to. Each object is visited once."""

    def __init__(self) -> None:
        self.places: list[object] = []
        self._seen: set[tuple[int, frozenset[str]]] = set()
        self._kept: list[object] = []            # so that no other object gets the number of one that was seen

    def visit(self, value: object, names: frozenset[str]) -> None:
        """``names`` are those in the code that refers to the value: of a module, attributes of these names are looked up."""
        of_modules = names if isinstance(value, types.ModuleType) else frozenset()
        if (id(value), of_modules) in self._seen:
            return
        self._seen.add((id(value), of_modules))
        self._kept.append(value)
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.ModuleType):
            self._module(value, names)
        elif isinstance(value, type):
            self._class(value)
        else:
            for part in _parts(value):
                self.visit(part, names)
            self.visit(type(value), names)

    def _place(self, container: object, key: object, value: object) -> None:
        self.places += (container, key, value)

    def _function(self, function: types.FunctionType) -> None:
        if is_library(function.__code__.co_filename):
            return
        for attribute in _FUNCTION:
            self._place(function, attribute, getattr(function, attribute))
        names = frozenset(_names(function.__code__))
        for name in names:
            value = function.__globals__.get(name, ABSENT)
            self._place(function.__globals__, name, value)
            self.visit(value, names)
        for cell in function.__closure__ or ():
            value = _content(cell)
            self._place(cell, None, value)
            self.visit(value, names)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.visit(value, names)
        self._imports(function, names)
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            self.visit(wrapped, names)

    def _imports(self, function: types.FunctionType, names: frozenset[str]) -> None:
        if not _has_imports(function.__code__):
            return
        from udfvm.own_modules import all_imported_names

        package = function.__globals__.get("__package__") or ""
        for name in all_imported_names(function.__code__, package):
            module = sys.modules.get(name)
            if module is not None and is_users(module):
                self._place(sys.modules, name, module)
                self.visit(module, names)

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        if not is_users(module):
            return
        for name in names:
            value = module.__dict__.get(name, ABSENT)
            self._place(module.__dict__, name, value)
            self.visit(value, names)

    def _class(self, cls: type) -> None:
        if not _is_users_class(cls):
            return
        namespace: Mapping[str, object] = cls.__dict__
        for name, value in list(namespace.items()):
            if name not in _OF_EVERY_CLASS:
                self._place(namespace, name, value)
                self.visit(value, frozenset())
        for base in cls.__bases__:
            self.visit(base, frozenset())


def _parts(value: Any) -> Iterator[object]:
    """Functions and objects in wrappers of the standard library and of UDFs, whose own code is no user's."""
    if isinstance(value, functools.partial):
        yield value.func
        yield from (*value.args, *value.keywords.values())
    elif isinstance(value, (types.MethodType, staticmethod, classmethod)):
        yield value.__func__
        yield getattr(value, "__self__", None)
    elif isinstance(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isinstance(value, functools.cached_property):
        yield value.func
    else:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):         # what functools.wraps and lru_cache leave, and a UDF
            yield from (attributes[name] for name in ("__wrapped__", "function") if name in attributes)


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that code looks up outside of itself, attributes included, with those of code in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _has_imports(code: types.CodeType) -> bool:
    nested: Iterable[object] = code.co_consts
    return opmap["IMPORT_NAME"] in code.co_code[::2] or any(
        isinstance(constant, types.CodeType) and _has_imports(constant) for constant in nested
    )


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _is_users_class(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    return module is not None and (module.__name__ == "__main__" or is_users(module))
