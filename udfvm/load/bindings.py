"""Bindings: what the names in a function mean. They are captured when the function's image is
built, and compared before each call.

A function is shipped to its micro-VM with all that it refers to: globals, closures, helpers,
classes, user modules, and what these refer to in turn. Python looks a name up when it is used, so a
name that is bound to another object needs another image. The comparison is by identity of the
objects that user code reaches by names. An object whose content changed has the same identity:
``Function.refresh`` is for those. Functions and classes are followed wherever they are held: in
containers, in attributes of instances, and in objects that decorators and functools made.
"""

from __future__ import annotations

import copyreg
import functools
import gc
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence

from udfvm.load._bindings import ABSENT, IMPORT_NAME, LENGTH, changed
from udfvm.load.declaration import DeclaredFunction
from udfvm.load.libraries import is_library, is_third_party, is_user_module
from udfvm.static_typing import Any, Final

__all__ = ["Bindings", "capture", "changed"]

#: Triples of container, key and value, flattened; see ``changed``. The key LENGTH stands for the
#: number of keys.
Bindings = tuple[object, ...]

_FUNCTION: Final = ("__code__", "__defaults__", "__kwdefaults__")
_OF_EVERY_CLASS: Final = frozenset(
    {"__dict__", "__weakref__", "__module__", "__doc__", "__slots__"}
)
ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_CACHED: Final = type(functools.lru_cache(len))
# Modules whose objects hold their arguments, although they have their own ways to pickle.
_HOLDERS: Final = frozenset(
    {"builtins", "collections", "functools", "itertools", "operator", "types", "typing"}
)


def capture(function: object, leave: Iterable[object] = ()) -> Bindings:
    """Captures the bindings of all names that a function (or class), and user code that it refers
    to, look up.

    Objects in ``leave`` (host functions) are not followed: they stay in this process.

    >>> def twice(x): return FACTOR * x
    >>> bindings = capture(twice)
    >>> changed(bindings)
    False
    >>> globals()["FACTOR"] = 2
    >>> changed(bindings)
    True
    """
    walk = _Walk(leave)
    walk.run(function)
    return tuple(walk.bindings)


class _Walk:
    """A walk over the objects that user code refers to. It visits each object once."""

    def __init__(self, leave: Iterable[object]) -> None:
        self.bindings: list[object] = []
        self._waiting: list[tuple[object, frozenset[str]]] = []
        self._seen: set[tuple[int, frozenset[str]]] = set()
        self._kept = list(leave)  # so that no other object gets the id of a visited one
        self._seen.update((id(each), frozenset()) for each in self._kept)

    def run(self, value: object) -> None:
        self._visit(value)
        while self._waiting:
            self._look_into(*self._waiting.pop())

    def _visit(self, value: object, names: frozenset[str] = frozenset()) -> None:
        """Notes a value that the walk has yet to look into. ``names`` are those in the code that
        refers to the value: the walk visits the attributes of a module that have these names.
        """
        if type(value) in ATOMS:
            return
        of_modules = names if isinstance(value, types.ModuleType) else frozenset()
        if (id(value), of_modules) not in self._seen:
            self._seen.add((id(value), of_modules))
            self._kept.append(value)
            self._waiting.append((value, of_modules))

    def _visit_all(self, values: Iterable[object], names: frozenset[str] = frozenset()) -> None:
        for value in values:
            self._visit(value, names)

    def _look_into(self, value: object, names: frozenset[str]) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.ModuleType):
            self._module(value, names)
        elif isinstance(value, type):
            self._class(value)
        else:
            parts = (
                [getattr(value, "function", None)]
                if isinstance(value, DeclaredFunction)
                else _parts(value)
            )
            # Untracked objects hold no others: numbers, texts, tuples of these.
            self._visit_all(filter(gc.is_tracked, parts))
            self._visit_all({type(value), *map(type, parts)})

    def _bind(self, container: object, key: object, value: object) -> None:
        self.bindings += (container, key, value)

    def _mapping(self, mapping: Mapping[Any, object], leave: frozenset[str] = frozenset()) -> None:
        """Adds a binding for each key, and one for the number of keys."""
        self._bind(mapping, LENGTH, len(mapping))
        for key, value in list(mapping.items()):
            if key not in leave:
                self._bind(mapping, key, value)
                self._visit(value)

    def _function(self, function: types.FunctionType) -> None:
        self._visit_all(function.__dict__.values())
        self._visit_all((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()))
        if is_library(function.__code__.co_filename):
            # It may be a decorator's: its closure holds the decorated function, and its own code
            # is not user code.
            from udfvm.load.reductions import is_single_dispatch

            if is_single_dispatch(function):
                self._mapping(function.registry)  # type: ignore[attr-defined]
            self._visit_all(map(_content, function.__closure__ or ()))
            return
        for attribute in _FUNCTION:
            self._bind(function, attribute, getattr(function, attribute))
        names = frozenset(names_in(function.__code__))
        for name in names:
            value = function.__globals__.get(name, ABSENT)
            self._bind(function.__globals__, name, value)
            self._visit(value, names)
        for cell in function.__closure__ or ():
            value = _content(cell)
            self._bind(cell, None, value)
            self._visit(value, names)
        self._imports(function, names)

    def _imports(self, function: types.FunctionType, names: frozenset[str]) -> None:
        if not _has_imports(function.__code__):
            return
        from udfvm.load.user_modules import all_imported_names

        package = function.__globals__.get("__package__") or ""
        for name in all_imported_names(function.__code__, package):
            module = sys.modules.get(name)
            if module is not None and is_user_module(module):
                self._bind(sys.modules, name, module)
                self._visit(module, names)
            elif module is None and not _is_of_library(name):
                self._bind(sys.modules, name, ABSENT)

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        if not is_user_module(module):
            return
        for name in names:
            value = module.__dict__.get(name, ABSENT)
            self._bind(module.__dict__, name, value)
            self._visit(value, names)

    def _class(self, cls: type) -> None:
        if not _is_user_class(cls):
            return
        copyreg._slotnames(cls)  # type: ignore[attr-defined]  # pickling adds the attribute to the class
        self._mapping(cls.__dict__, _OF_EVERY_CLASS)
        self._visit_all((*cls.__bases__, type(cls)))


_OBJECT: Final[Any] = object  # classes without their own ways to pickle inherit its methods


def _parts(value: Any) -> Sequence[object]:
    """Returns the objects that an object holds and that are shipped with it. Functions, classes and
    modules are handled elsewhere.
    """
    if isinstance(value, _CACHED):
        return (value.__wrapped__,)  # the content of the cache is not shipped
    cls: Any = type(value)
    inherits = cls.__reduce__ is _OBJECT.__reduce__ and cls.__reduce_ex__ is _OBJECT.__reduce_ex__
    return (
        gc.get_referents(value)
        if inherits or cls.__module__ in _HOLDERS or _is_user_class(cls)
        else ()
    )


def names_in(code: types.CodeType) -> Iterator[str]:
    """Returns names that code looks up outside of itself, attributes and nested code included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def imports_modules(code: types.CodeType) -> bool:
    """Returns True if code has an import statement, nested code left out."""
    # CPython's instructions are pairs of bytes: an opcode and its argument.
    return IMPORT_NAME in code.co_code[::2]


def _has_imports(code: types.CodeType) -> bool:
    nested: Iterable[object] = code.co_consts
    return imports_modules(code) or any(
        isinstance(constant, types.CodeType) and _has_imports(constant) for constant in nested
    )


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _is_of_library(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or is_third_party(top)


def _is_user_class(cls: type) -> bool:
    """Returns True for classes that are pickled by value: those of user modules, and of code that
    runs without a module.
    """
    module = sys.modules.get(cls.__module__)
    return module is None or module.__name__ == "__main__" or is_user_module(module)
