"""Defaults of parameters: checked where a function is declared, as its arguments are in a call, and
encoded.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence

from udfvm.codec.rows import encode_value
from udfvm.codec.value_codecs import has_codec, is_python_value
from udfvm.errors import SignatureError, TypeMappingError
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter
    from udfvm.types.signatures import Signature


def check_defaults(name: str, function: Callable[..., object], signature: Signature) -> None:
    """Raises SignatureError for a default that a parameter of the function cannot have."""
    defaults = _defaults_of(function, signature)
    for parameter in signature.parameters:
        if parameter.name in defaults:
            _check(name, function, parameter, defaults[parameter.name])


def encoded_defaults(
    name: str, parameters: Sequence[Parameter], given: Mapping[str, Any]
) -> list[bytes | None]:
    """Returns the defaults of parameters, encoded as values of a row. None stands for a parameter
    without one, and for those before it.
    """
    from udfvm.codec.defaults import encoded_default

    found = [
        encoded_default(name, each, given[each.name]) if each.name in given else None
        for each in parameters
    ]
    last = max((index for index, default in enumerate(found) if default is None), default=-1)
    return [default if index > last else None for index, default in enumerate(found)]


def _defaults_of(function: Callable[..., object], signature: Signature) -> Mapping[str, Any]:
    """Returns the defaults by the names of their parameters.

    Those of ordinary functions are read without ``inspect``: importing it takes longer than a call.
    """
    unbound = getattr(function, "__func__", function)
    if type(unbound) is types.FunctionType and not unbound.__dict__:
        values = unbound.__defaults__ or ()
        names = unbound.__code__.co_varnames[: unbound.__code__.co_argcount]
        return dict(zip(names[len(names) - len(values) :], values, strict=True))
    return {
        each.name: each.default
        for each in signature.python().parameters.values()
        if each.default is not each.empty
    }


def _check(
    name: str, function: Callable[..., object], parameter: Parameter, default: object
) -> None:
    where = f"UDF {name!r}: the default of {parameter.name!r} is"
    if default is None and not parameter.nullable:
        annotation = _annotation(function, parameter)
        raise SignatureError(f"{where} None: annotate it `{annotation} | None`")
    try:
        if is_python_value(default) and has_codec(parameter.type.kind):
            encode_value(name, parameter, default)
        elif default is not None:
            _check_other(name, parameter, default)
    except TypeMappingError as error:
        raise SignatureError(f"{where} not valid: {parameter.name!r} {error.reason}") from error


def _check_other(name: str, parameter: Parameter, default: Any) -> None:
    """Checks a default that is not a plain value of Python; a column is one only for a call."""
    from udfvm.codec.containers import Container, container_of
    from udfvm.codec.scalars import refuse_collection, scalar_of

    if container_of(default) is Container.SCALAR:
        refuse_collection(name, parameter, default)
        scalar_of(name, parameter, default)


def _annotation(function: Callable[..., object], parameter: Parameter) -> str:
    """Returns the annotation of a parameter as source text; one for its type if it has none."""
    annotation = getattr(function, "__annotations__", {}).get(parameter.name)
    if annotation is None:
        return parameter.type.kind.value
    if isinstance(annotation, str):
        return annotation
    import inspect

    return inspect.formatannotation(annotation)
