"""The annotations of functions, evaluated."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable

from udfvm.errors import SignatureError
from udfvm.static_typing import Any
from udfvm.types.forms import has_only_classes
from udfvm.types.known_hints import known_hints
from udfvm.types.names import LIBRARIES


def annotated_function(function: Any) -> Any:
    """Returns the function that has the annotations of a callable: that of a ``functools.partial``,
    or ``__call__`` of an object.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__annotations__") and not isinstance(function, type):
        return getattr(type(function), "__call__", function)  # noqa: B004 - of an object that is called
    return function


def hints_of(function: Callable[..., object], name: str) -> dict[str, object]:
    """Returns the evaluated annotations of a function. Raises SignatureError."""
    target = annotated_function(function)
    if (known := known_hints(target)) is not None:
        return dict(known)
    if hasattr(target, "__wrapped__"):
        import inspect

        target = inspect.unwrap(target)
    closure = getattr(target, "__closure__", None) or ()
    free = getattr(getattr(target, "__code__", None), "co_freevars", ())
    local = {}
    for variable, cell in zip(free, closure, strict=False):
        try:
            local[variable] = cell.cell_contents
        except ValueError:  # an empty cell: the function that is being decorated has no value yet
            continue
    annotations = getattr(target, "__annotations__", None)
    if not annotations:
        return {}
    if (
        type(target) is types.FunctionType
        and has_only_classes(annotations)
        and not hasattr(target, "__no_type_check__")
    ):
        return {key: type(None) if each is None else each for key, each in annotations.items()}
    import typing

    try:
        return typing.get_type_hints(target, localns=local, include_extras=True)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        raise SignatureError(
            f"UDF {name!r}: an annotation cannot be evaluated ({error}); {_advice(error)}"
        ) from error


def _advice(error: Exception) -> str:
    used = (isinstance(error, NameError) and error.name) or ""
    library = LIBRARIES.get(used, used)
    if library in LIBRARIES.values():
        from importlib.util import find_spec

        if find_spec(library) is None:
            return f"{library} is not installed: pip install it"
        return f"import {library} at module level, not only where TYPE_CHECKING is true"
    return "annotations must use names that exist at module level when the function is defined"
