"""Private parts of functions for integrations: declarations, calls, checks of arguments."""

from __future__ import annotations

from collections.abc import Sequence

from udfvm.call.dispatch import Calls
from udfvm.checks import shown
from udfvm.errors import SignatureError
from udfvm.functions.function import Function
from udfvm.load.declaration import Declaration


def declaration_of(function: Function) -> Declaration:
    """Returns the declaration of a function."""
    return function._declaration


def calls_of(function: Function, arguments: int) -> Calls:
    """Returns the object that makes the calls of a function with so many arguments."""
    return function._calls_with(arguments)


def encoded_defaults(function: Function) -> list[bytes | None]:
    """Returns the defaults of the parameters, encoded as values of a row; lists and structs are
    JSON.

    None stands for a parameter without a default, and for those before one.
    """
    return function._encoded_defaults()


def check_functions(caller: str, functions: Sequence[object], name: str | None) -> None:
    """Raises SignatureError for an object that is not a function of micro-VMs, and for a ``name=``
    of several functions.
    """
    for each in functions:
        _check_function(caller, "UDFs", each)
    if name is not None and len(functions) != 1:
        raise SignatureError(
            f"{caller}: name= is the name of one function; got {len(functions)}: register each by"
            " itself"
        )


def names_of(caller: str, functions_or_names: Sequence[object]) -> list[str]:
    """Returns names, and the names of functions. Raises SignatureError for other objects."""
    names = []
    for each in functions_or_names:
        if isinstance(each, str):
            names.append(each)
        else:
            names.append(_check_function(caller, "UDFs or their names", each).name)
    return names


def _check_function(caller: str, what: str, function: object) -> Function:
    if isinstance(function, Function):
        return function
    if isinstance(function, (list, tuple)):
        raise SignatureError(
            f"{caller} takes {what} one by one; got a {type(function).__name__}: write a * before"
            " it"
        )
    advice = ": decorate it with @udfvm.udf" if callable(function) else ""
    raise SignatureError(f"{caller} takes {what}; got {shown(function)}{advice}")
