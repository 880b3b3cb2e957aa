"""Finds the object that cannot be pickled among those that a function refers to, and its path."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from udfvm.load.bindings import ATOMS, names_in
from udfvm.load.libraries import is_library, is_user_module
from udfvm.static_typing import Any, Final

_OF_EVERY_CLASS: Final = frozenset({"__dict__", "__weakref__", "__module__", "__doc__"})

#: The name of the function that refers to the object, or "" for a part of the step before; the
#: expression in its code; the object itself.
Step = tuple[str, str, object]


def unpicklable_part(function: object, pickles: Callable[[object], bool]) -> str:
    """Returns the name of the object that cannot be pickled, such as "'lock' in 'helper'".

    The path to it follows if that is longer. The text is empty if the object is not known.

    >>> import threading
    >>> lock = threading.Lock()
    >>> state = {"locks": [lock]}
    >>> def locked(): return state
    >>> unpicklable_part(locked, lambda value: isinstance(value, (int, str, type)))
    "state['locks'][0] in 'locked'"
    """
    steps = _steps_to(function, pickles, set())
    paths: list[tuple[str, str]] = []  # functions, and the expression in each
    for function_name, text, _ in steps:
        if function_name or not paths:
            paths.append((function_name, text))
        else:
            paths[-1] = paths[-1][0], paths[-1][1] + text
    if not paths:
        return ""
    function_name, text = paths[-1]
    shown = f"{text!r}" if text.isidentifier() else text
    owner = f" in {function_name!r}" if function_name else ""
    before = ", ".join(text for _, text in paths[:-1])
    return f"{shown}{owner} (by {before})" if before else shown + owner


def _steps_to(value: object, pickles: Callable[[object], bool], seen: set[int]) -> list[Step]:
    if id(value) in seen:
        return []
    seen.add(id(value))
    for step in _parts(value):
        if type(step[2]) not in ATOMS and id(step[2]) not in seen and not pickles(step[2]):
            return [step, *_steps_to(step[2], pickles, seen)]
    return []


def _parts(value: Any) -> Iterator[Step]:
    if isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, types.MethodType):
        if isinstance(value.__func__, types.FunctionType):
            yield from _of_function(value.__func__)
        yield "", ".__self__", value.__self__
    elif isinstance(value, type):
        if getattr(value, "__module__", "") == "__main__" or not is_library(_file_of(value)):
            yield from (
                ("", f".{name}", each)
                for name, each in list(vars(value).items())
                if name not in _OF_EVERY_CLASS
            )
            yield from (
                ("", f".__bases__[{index}]", each) for index, each in enumerate(value.__bases__)
            )
    elif isinstance(value, types.ModuleType):
        if is_user_module(value):
            yield from (
                ("", f".{name}", each)
                for name, each in list(vars(value).items())
                if not name.startswith("__")
            )
    else:
        yield from _of_instance(value)


def _of_function(function: types.FunctionType) -> Iterator[Step]:
    wrapped = function.__dict__.get("__wrapped__")
    if isinstance(wrapped, types.FunctionType):
        yield from _of_function(wrapped)
    if not is_library(function.__code__.co_filename):
        name = function.__name__
        for each in dict.fromkeys(names_in(function.__code__)):
            if each in function.__globals__:
                yield name, each, function.__globals__[each]
        for each, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=False
        ):
            with suppress(ValueError):  # not assigned yet
                yield name, each, cell.cell_contents
        parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
        for each, default in zip(
            reversed(parameters), reversed(function.__defaults__ or ()), strict=False
        ):
            yield name, f"{each}={default!r}", default
        for each, default in (function.__kwdefaults__ or {}).items():
            yield name, f"{each}={default!r}", default
    yield from (
        ("", f".{each}", held) for each, held in function.__dict__.items() if each != "__wrapped__"
    )


def _of_instance(value: Any) -> Iterator[Step]:
    if isinstance(value, Mapping):
        for key, each in list(value.items()):
            yield "", f"[{key!r}]", each
    elif isinstance(value, (list, tuple)):
        yield from (("", f"[{index}]", each) for index, each in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("", f" has {each!r}", each) for each in value)
    elif isinstance(value, functools.partial):
        yield "", ".func", value.func
        yield from (("", f".args[{index}]", each) for index, each in enumerate(value.args))
        yield from (("", f".keywords[{name!r}]", each) for name, each in value.keywords.items())
    elif isinstance(value, property):
        yield from (("", f".{name}", getattr(value, name)) for name in ("fget", "fset", "fdel"))
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        yield from (("", f".{name}", each) for name, each in list(attributes.items()))
    for cls in type(value).__mro__:
        for name, each in vars(cls).items():
            if (
                isinstance(each, types.MemberDescriptorType)
                and each.__objclass__ is cls
                and not is_library(_file_of(cls))
            ):
                with suppress(AttributeError):  # not assigned yet
                    yield "", f".{name}", each.__get__(value)
    if isinstance(value, (staticmethod, classmethod)):
        yield "", ".__func__", value.__func__
    yield "", ".__class__", type(value)


def _file_of(cls: type) -> str:
    """Returns the file of a class's module; this one's for classes without one, as those in C."""
    import sys

    module = sys.modules.get(getattr(cls, "__module__", None) or "")
    filename = getattr(module, "__file__", None)
    if module is None or getattr(module, "__name__", "") == "__main__":
        return "/"  # code that runs without a module is user code
    return filename if isinstance(filename, str) else __file__
