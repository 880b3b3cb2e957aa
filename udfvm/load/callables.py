"""What stands in the place of functions and types, and pickles by reference to a module that the
guest has not: taken apart, and put together again in the guest
(guest/runtimes/python/_udfvm_callables.py).
"""

from __future__ import annotations

import functools
import importlib
import operator
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Final, NamedTuple

_CACHED: Final = type(functools.lru_cache(len))
_ALIAS: Final[Any] = getattr(typing, "TypeAliasType", None)


class GuestModule(NamedTuple):
    """A module that only the guest has."""

    name: str

    def __reduce__(self) -> tuple[object, ...]:
        return importlib.import_module, (self.name,)


_PARAMETERS: Final[Any] = (typing.ParamSpec, *filter(None, [getattr(typing, "TypeVarTuple", None)]))
_OF_WRAPPERS: Final = frozenset(
    {
        *functools.WRAPPER_ASSIGNMENTS,
        "__wrapped__",
        "register",
        "dispatch",
        "registry",
        "_clear_cache",
        "cache_parameters",
    }
)


def reduced_callable(
    obj: Any, maker: str, by_value: Callable[[types.ModuleType], bool]
) -> tuple[object, ...] | None:
    """How a helper with ``lru_cache``, ``cache``, ``singledispatch`` or ``cached_property``, a
    ``NewType``, a parameter of generic types or a type alias is pickled that is not found in a
    module there; None for everything else. What caches hold stays here.

    ``maker`` is what ``_udfvm_callables`` is imported as where it is unpickled. ``by_value`` tells
    which modules are not there; that of the program never is.
    """

    def found(each: Any) -> bool:
        return _is_found(each, by_value)

    def made(function: str, *arguments: object) -> tuple[object, ...]:
        return operator.methodcaller(function, *arguments), (GuestModule(maker),)

    def with_attributes(*reduced: object) -> tuple[object, ...]:
        attributes = {name: value for name, value in vars(obj).items() if name not in _OF_WRAPPERS}
        return (*reduced, attributes) if attributes else reduced

    if isinstance(obj, _CACHED):
        if found(obj):
            return None
        parameters = obj.cache_parameters()
        return with_attributes(
            *made("cached", obj.__wrapped__, parameters["maxsize"], parameters["typed"])
        )
    if isinstance(obj, functools.cached_property):
        return made("cached_property", obj.func, obj.attrname)
    if is_single_dispatch(obj):
        return (
            None
            if found(obj)
            else with_attributes(*made("single_dispatch", obj.__wrapped__, dict(obj.registry)))
        )
    if isinstance(obj, typing.NewType) and not found(obj):
        return made("new_type", obj.__name__, obj.__supertype__, obj.__module__)
    if isinstance(obj, _PARAMETERS) and not found(obj):
        return type(obj), (obj.__name__,)
    if _ALIAS is not None and isinstance(obj, _ALIAS) and not found(obj):
        return _ALIAS, (obj.__name__, obj.__value__)
    return None


def is_single_dispatch(function: Any) -> bool:
    """Whether it is what ``functools.singledispatch`` made."""
    return (
        isinstance(function, types.FunctionType)
        and function.__code__.co_filename == functools.singledispatch.__code__.co_filename
        and hasattr(function, "registry")
        and hasattr(function, "__wrapped__")
    )


def _is_found(obj: Any, by_value: Callable[[types.ModuleType], bool]) -> bool:
    """Whether it is found, under its name, in a module that goes by reference."""
    name = getattr(obj, "__module__", None)
    found: Any = sys.modules.get(name or "")
    if found is None or name in ("__main__", "__mp_main__") or by_value(found):
        return False
    for part in (getattr(obj, "__qualname__", None) or obj.__name__).split("."):
        found = getattr(found, part, None)
    return found is obj
