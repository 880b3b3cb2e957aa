"""Host functions: functions of this process that a UDF may call, by name, and no others.

The guest is hostile: a name is looked up among those that the UDF was given, arguments are decoded from a copy of what the guest wrote, and
each must be of the declared type. Layouts: ``struct udfvm_row`` and ``struct udfvm_value`` of guest/include/udfvm_abi.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from udfvm.errors import ProtocolError, SignatureError, TypeMappingError
from udfvm.rows import decode_row, encode_value
from udfvm.signatures import signature_of
from udfvm.types import Kind, Parameter, ResultType

_KINDS: Final = frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.BYTES})
_LONGEST_NAME: Final = 255


class HostFunction(NamedTuple):
    """A function and its declared types."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    result: ResultType

    def description(self) -> dict[str, Any]:
        """What the guest knows of it."""
        return {
            "name": self.name,
            "parameters": [{"name": each.name, "type": each.type.name, "nullable": each.nullable} for each in self.parameters],
            "result": self.result.type.name,
        }


class HostFunctions:
    """The host functions of a UDF.

    >>> def rate(currency: str) -> float | None:
    ...     return {"EUR": 1.0, "USD": 1.1}.get(currency)
    >>> functions = HostFunctions("convert", [rate])
    >>> [each["name"] for each in functions.descriptions()]
    ['rate']
    """

    def __init__(self, udf: str, functions: Iterable[Callable[..., Any]]) -> None:
        """Raises SignatureError for functions without annotations of bool, int, float, str or bytes (``| None``), or of one name."""
        self._udf = udf
        self._functions: dict[bytes, HostFunction] = {}
        for function in functions:
            made = _host_function(udf, function)
            if self._functions.setdefault(made.name.encode(), made) is not made:
                raise SignatureError(f"UDF {udf!r}: host_functions= has two functions named {made.name!r}")

    def __bool__(self) -> bool:
        return bool(self._functions)

    def descriptions(self) -> list[dict[str, Any]]:
        """All of them, by name."""
        return [self._functions[name].description() for name in sorted(self._functions)]

    def name_of(self, function: object) -> str | None:
        """The name of one of them; None for other objects."""
        return next((each.name for each in self._functions.values() if each.function is function), None)

    def call(self, name: bytes, arguments: bytes) -> bytes | None:
        """The reply to what a guest asks; None where there is no function of that name.

        Raises ProtocolError for arguments that are not what it takes, TypeMappingError for a result that is not of its type, and what the
        function raises."""
        host = self._functions.get(name)
        if host is None:
            return None
        try:
            values = decode_row(arguments, host.parameters)
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(f"the guest's arguments for host function {host.name!r} are not valid: {error}", self._udf) from error
        if any(value is None and not parameter.nullable for value, parameter in zip(values, host.parameters, strict=True)):
            return encode_value(host.name, Parameter("result", host.result.type, True), None)
        result = host.function(*values)
        if result is None and not host.result.nullable:
            raise TypeMappingError(f"host function {host.name!r} returned None; annotate its result {host.result.type.kind.value} | None")
        return encode_value(host.name, Parameter("result", *host.result), result)


def _host_function(udf: str, function: Callable[..., Any]) -> HostFunction:
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str) or not name.isidentifier() or len(name.encode()) > _LONGEST_NAME:
        raise SignatureError(f"UDF {udf!r}: host_functions= has {function!r}, which is no function with a name")
    signature = signature_of(function, name, vectorized=False, input_types=None, output_type=None)
    places = [(f"parameter {each.name!r}", each.type) for each in signature.parameters]
    for where, type_ in (*places, ("the result", signature.result.type)):
        if type_.kind not in _KINDS:
            raise SignatureError(f"UDF {udf!r}: host function {name!r}: {where} is {type_}; use bool, int, float, str or bytes")
    return HostFunction(name, function, signature.parameters, signature.result)
