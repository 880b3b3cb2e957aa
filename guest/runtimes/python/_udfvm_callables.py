"""Makes objects again that udfvm/load/reductions.py took apart."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any


def cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Callable[..., Any]:
    """A function with an empty cache."""
    return functools.lru_cache(maxsize, typed)(function)


def cached_property(
    function: Callable[[Any], Any], name: str | None
) -> functools.cached_property[Any]:
    """Returns a property that a class already has under a name."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def single_dispatch(
    function: Callable[..., Any], registered: dict[type, Callable[..., Any]]
) -> Callable[..., Any]:
    """A generic function with its implementations."""
    made = functools.singledispatch(function)
    for cls, implementation in registered.items():
        made.register(cls, implementation)
    return made


def single_dispatch_method(
    function: Callable[..., Any], registered: dict[type, Callable[..., Any]]
) -> functools.singledispatchmethod[Any]:
    """A generic method with its implementations."""
    made = functools.singledispatchmethod(function)
    for cls, implementation in registered.items():
        made.register(cls, implementation)
    return made


def new_type(name: str, supertype: Any, module: str) -> Any:
    """A ``typing.NewType``."""
    make: Any = typing.NewType
    made = make(name, supertype)
    made.__module__ = module
    return made
