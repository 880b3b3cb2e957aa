"""Private parts of functions for integrations: declarations, calls, checks of arguments."""

from __future__ import annotations

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


def check_function(caller: str, function: object) -> None:
    """Raises SignatureError for an object that is not a function of micro-VMs."""
    if isinstance(function, Function):
        return
    if isinstance(function, (list, tuple)):
        raise SignatureError(
            f"{caller} takes UDFs one by one; got a {type(function).__name__}: write a * before it"
        )
    advice = ": decorate it with @udfvm.udf" if callable(function) else ""
    raise SignatureError(f"{caller} takes UDFs; got {shown(function)}{advice}")
