"""Functions in pyarrow's registry, and expressions that call them.

The process has one registry. It knows functions by name, matches argument types exactly, and never
forgets a name. The function behind a name can change, but its types cannot.
"""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.codec.containers import Container, container_of
from udfvm.codec.scalars import scalar_of
from udfvm.errors import SignatureError, TypeMappingError, UnknownUDFError
from udfvm.forks import ForkLock
from udfvm.functions.arrow_calls import columns_in
from udfvm.types.arrow_types import Kind, Parameter

if TYPE_CHECKING:
    from udfvm.call.dispatch import Calls
    from udfvm.functions.function import Function

_Types = tuple[tuple[str, ...], str]


class _Registration:
    """A name in the registry and the calls behind it; None after it was unregistered."""

    def __init__(self, name: str, calls: Calls, types: _Types) -> None:
        self.name = name
        self.calls: Calls | None = calls
        self.types = types
        # pyarrow reads the number of arguments from here. Without it the function would be
        # variadic.
        names = ("context", *(f"argument_{index}" for index in range(len(types[0]))))
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        )

    def __call__(self, context: Any, *arguments: Any) -> pa.Array | pa.Scalar:
        calls = self.calls
        if calls is None:
            raise UnknownUDFError(
                f"UDF {self.name!r} was unregistered: pyarrow keeps its name, but has no function"
                " for it"
            )
        pool = context.memory_pool
        result = columns_in(pool, self.name, calls, arguments)
        if any(isinstance(argument, pa.Array) for argument in arguments):
            return result
        return pa.repeat(result[0], context.batch_length, memory_pool=pool)


_guard: Final = ForkLock()
_registered: Final[dict[str, _Registration]] = {}  # our part of pyarrow's registry


def check_registrable(function: Function) -> None:
    """Raises SignatureError for a function that pyarrow.compute cannot have."""
    if function.form in ("table", "aggregate"):
        form = "a table function" if function.form == "table" else "an aggregate"
        raise SignatureError(
            f"UDF {function.name!r} is {form}: pyarrow.compute takes scalar and vectorised UDFs"
        )
    if not function.parameters:
        raise SignatureError(
            f"UDF {function.name!r}: a function of pyarrow.compute needs at least one parameter"
        )


def register_as(name: str, function: Function, *, replace: bool) -> None:
    """Registers a function under a name. ``check_registrable`` must allow it.

    Raises SignatureError if the name has other types or is pyarrow's own, and, without ``replace``,
    if it has a function.
    """
    types = _types_of(function)
    with _guard.lock:
        mine = _registered.get(name)
        if mine is None:
            _registered[name] = _register_new(name, function, types)
            return
        if mine.calls is not None and not replace:
            raise SignatureError(
                f"UDF {name!r}: a UDF of that name is registered: pass another name=, or"
                " replace=True"
            )
        if mine.types != types:
            raise SignatureError(
                f"UDF {name!r}: a UDF of that name with other types"
                f" ({', '.join(mine.types[0])}) -> {mine.types[1]} is registered, and pyarrow"
                " cannot forget it: pass another name="
            )
        mine.calls = function._calls


def forget(names: list[str]) -> None:
    """Removes the functions behind names. Raises UnknownUDFError, and removes none, if one of the
    names has no function of ours.
    """
    with _guard.lock:
        found = [_registered.get(name) for name in names]
        for name, registration in zip(names, found, strict=True):
            if registration is None or registration.calls is None:
                raise UnknownUDFError(f"no UDF named {name!r} is registered in pyarrow.compute")
        for registration in found:
            if registration is not None:
                registration.calls = None


def _types_of(function: Function) -> _Types:
    return (
        tuple(str(parameter.type.as_declared) for parameter in function.parameters),
        str(function.result.type.as_declared),
    )


def _register_new(name: str, function: Function, types: _Types) -> _Registration:
    if name in pc.list_functions():
        raise SignatureError(
            f"UDF {name!r}: pyarrow.compute has a function of that name already: pass another name="
        )
    registration = _Registration(name, function._calls, types)
    summary, _, description = (function.__doc__ or f"The UDF {name}").strip().partition("\n")
    pc.register_scalar_function(
        registration,
        name,
        {"summary": summary, "description": description.strip() or summary},
        {parameter.name: parameter.type.as_declared for parameter in function.parameters},
        function.result.type.as_declared,
    )
    return registration


# ---- Expressions ----


def expression(function: Function, arguments: tuple[Any, ...]) -> pc.Expression:
    """Returns an expression that calls a function on expressions and values, one for each
    parameter. It registers the function under a name of its own, which is never replaced.

    Raises SignatureError for a function that pyarrow.compute cannot have, TypeMappingError for a
    value that does not have its parameter's type, and what building an image raises.
    """
    check_registrable(function)
    cast = [
        _argument(function.name, *each) for each in zip(function.parameters, arguments, strict=True)
    ]
    function.prepare()
    return pc.Expression._call(_own_name(function), cast)


def _own_name(function: Function) -> str:
    with _guard.lock:
        if function._arrow_name is None:
            names = (f"udfvm.{function.name}.{number}" for number in itertools.count(1))
            name = next(name for name in names if name not in _registered)
            register_as(name, function, replace=False)
            function._arrow_name = name
        return function._arrow_name


def _argument(function: str, parameter: Parameter, argument: Any) -> pc.Expression:
    if isinstance(argument, pc.Expression):
        return argument.cast(parameter.type.as_declared)
    if container_of(argument) is not Container.SCALAR:
        raise TypeMappingError(
            f"UDF {function!r}: argument {parameter.name!r} of an expression is a column of a"
            " dataset, such as pyarrow.dataset.field('x'), or a value; call the function itself"
            f" with {type(argument).__name__}s"
        )
    try:
        return pc.scalar(scalar_of(function, parameter, argument).cast(parameter.type.as_declared))
    except TypeMappingError as error:
        if isinstance(argument, str) and parameter.type.kind is not Kind.TEXT:
            error.add_note(f"udfvm: the column of that name is pyarrow.dataset.field({argument!r})")
        raise
