"""What integrations use of functions, beside what is public: their declarations, their calls, and
checks of what they were given.
"""

from __future__ import annotations

from udfvm.call.dispatch import Calls
from udfvm.errors import SignatureError
from udfvm.functions.function import Function
from udfvm.load.declaration import Declaration


def declaration_of(function: Function) -> Declaration:
    """What a function is declared to be."""
    return function._declaration


def calls_of(function: Function) -> Calls:
    """What makes the calls of a function, and keeps its runtime."""
    return function._calls


def encoded_defaults(function: Function) -> list[bytes | None]:
    """The defaults of the parameters, encoded as values of a row (lists and structs as JSON); None
    where there is none, and before a parameter that has none.
    """
    return function._encoded_defaults()


def check_function(caller: str, function: object) -> None:
    """Raises SignatureError for what is no function of micro-VMs."""
    if isinstance(function, Function):
        return
    if isinstance(function, (list, tuple)):
        raise SignatureError(
            f"{caller} takes UDFs one by one; got a {type(function).__name__}: write a * before it"
        )
    advice = ": decorate it with @udfvm.udf" if callable(function) else ""
    raise SignatureError(f"{caller} takes UDFs; got {function!r:.100}{advice}")
