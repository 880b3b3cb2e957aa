"""Host functions: functions of this process that a UDF may call, by name, and no others.

The guest is hostile: a name is looked up among those that the UDF was given, arguments are decoded
from a copy of what the guest wrote, and each must be of the declared type. Layouts: ``struct
udfvm_row`` and ``struct udfvm_value`` of guest/include/udfvm_abi.h.
"""

from __future__ import annotations

import struct
import types
from collections.abc import Callable, Iterable
from typing import Any, Final

from udfvm.checks import shown
from udfvm.codec.host_values import (
    is_stream,
    row_reader,
    stream_schema,
    value_row_type,
    value_writer,
)
from udfvm.codec.rows import encode_value
from udfvm.errors import ProtocolError, SignatureError, TypeMappingError
from udfvm.protocol import MAX_HOST_NAME
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Kind, Parameter, ResultType, Type
from udfvm.types.hints import hints_of
from udfvm.types.record_makers import Make, maker_of
from udfvm.types.signatures import signature_of


class HostFunction(NamedTuple):
    """A function and its declared types."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    result: ResultType
    returns_none: bool  # its result is of type null
    defaults: tuple[bytes | None, ...]  # of the parameters, encoded as values; None: there is none
    read: Callable[[bytes], list[Any]]  # arguments that a guest wrote
    makers: dict[int, Make]  # of the instances that parameters get, by index
    write: Callable[[object], bytes]  # results

    def slot_types(self) -> list[tuple[Type, bool]]:
        """Returns the types of result and parameters, and whether each may be null."""
        return [
            (self.result.type, self.result.nullable),
            *((each.type, each.nullable) for each in self.parameters),
        ]

    def description(self) -> dict[str, Any]:
        """Returns what the guest knows of it."""
        return {
            "name": self.name,
            "parameters": [
                {
                    "name": each.name,
                    **_described(each.type),
                    "nullable": each.nullable,
                    "default": None if default is None else default.hex(),
                }
                for each, default in zip(self.parameters, self.defaults, strict=True)
            ],
            "result": _described(self.result.type),
        }


_LENGTHS: Final = struct.Struct("<III")


def _slot(type_: Type, nullable: bool) -> bytes:
    head = bytes((value_row_type(type_), nullable))
    if not is_stream(type_):
        return head
    from udfvm.codec.column_batches import stream_formats

    texts = (type_.name.encode(), *stream_formats([type_]))
    return b"".join((head, _LENGTHS.pack(*map(len, texts)), *texts))


def _described(type_: Type) -> dict[str, str]:
    return {"type": type_.name, "schema": stream_schema(type_).hex()}


class HostFunctions:
    """The host functions of a UDF.

    >>> def rate(currency: str) -> float | None:
    ...     return {"EUR": 1.0, "USD": 1.1}.get(currency)
    >>> functions = HostFunctions("convert", [rate])
    >>> [each["name"] for each in functions.descriptions()]
    ['rate']
    """

    def __init__(self, udf: str, functions: Iterable[Callable[..., Any]]) -> None:
        """Raises SignatureError for functions without annotations of types (``| None``), with
        defaults of other types, for those that are async, and for two of one name.
        """
        self._udf = udf
        self._functions: dict[bytes, HostFunction] = {}
        for function in functions:
            made = _host_function(udf, function)
            if self._functions.setdefault(made.name.encode(), made) is not made:
                raise SignatureError(
                    f"UDF {udf!r}: host_functions= has two functions named {made.name!r}"
                )

    def __bool__(self) -> bool:
        return bool(self._functions)

    def descriptions(self) -> list[dict[str, Any]]:
        """Returns all of them, by name."""
        return [self._functions[name].description() for name in sorted(self._functions)]

    def slots(self, *, streams_only: bool = False) -> list[tuple[str, bytes]]:
        """Returns names and descriptions, by name, as ``host_function_take()`` of
        guest/runtimes/shared/compiled/host_offer.c reads them; only of functions with lists or
        structs, where these alone are asked for.
        """
        return [
            (each.name, b"".join(map(_slot, *zip(*each.slot_types(), strict=True))))
            for each in (self._functions[name] for name in sorted(self._functions))
            if not streams_only or any(is_stream(type_) for type_, _ in each.slot_types())
        ]

    @property
    def needs_pyarrow(self) -> bool:
        """True if guests of Python need pyarrow for a value."""
        return any(
            is_stream(type_) or type_.kind is Kind.INTERVAL
            for each in self._functions.values()
            for type_, _ in each.slot_types()
        )

    def functions(self) -> list[Callable[..., Any]]:
        """Returns the functions themselves."""
        return [each.function for each in self._functions.values()]

    def name_of(self, function: object) -> str | None:
        """Returns the name of one of them; None for other objects. Raises SignatureError for what
        one of them has been defined anew as.
        """
        for each in self._functions.values():
            if each.function is function:
                return each.name
            if isinstance(function, types.FunctionType) and _definition_of(
                function
            ) == _definition_of(each.function):
                raise SignatureError(
                    f"UDF {self._udf!r}: {each.name!r} has been defined anew, and host_functions="
                    " has it as it was: declare the UDF again"
                )
        return None

    def call(self, name: bytes, arguments: bytes) -> bytes | None:
        """Returns the reply to what a guest asks; None where there is no function of that name.

        Raises ProtocolError for arguments that are not what it takes, TypeMappingError for a result
        that is not of its type, and what the function raises.
        """
        host = self._functions.get(name)
        if host is None:
            return None
        try:
            values = host.read(arguments)
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(
                f"the guest's arguments for host function {host.name!r} are not valid: {error}",
                self._udf,
            ) from error
        if None in values and any(
            value is None and not parameter.nullable
            for value, parameter in zip(values, host.parameters, strict=True)
        ):
            return encode_value(host.name, Parameter("result", host.result.type, True), None)
        for index, make in host.makers.items():
            values[index] = make(values[index])
        result = host.function(*values)
        if result is None and not host.result.nullable:
            raise TypeMappingError(
                f"host function {host.name!r} returned None; annotate its result"
                f" {host.result.type.kind.value} | None"
            )
        if result is not None and host.returns_none:
            raise TypeMappingError(
                f"host function {host.name!r} returned {type(result).__name__}, and is annotated to"
                " return None"
            )
        try:
            return host.write(result)
        except TypeMappingError as error:
            raise TypeMappingError(
                f"host function {host.name!r} returned a value that {error.reason}"
            ) from None


def _definition_of(function: object) -> tuple[str | None, str | None]:
    """Returns the module and the name that a function is defined under."""
    return getattr(function, "__module__", None), getattr(function, "__qualname__", None)


def _host_function(udf: str, function: Callable[..., Any]) -> HostFunction:
    if isinstance(function, str):
        example = f"[{function}]" if function.isidentifier() else "[price]"
        raise SignatureError(
            f"UDF {udf!r}: host_functions= has the text {shown(function)}: give the function"
            f" itself, {example}"
        )
    name = getattr(function, "__name__", None)
    if (
        not callable(function)
        or not isinstance(name, str)
        or not name.isidentifier()
        or len(name.encode()) > MAX_HOST_NAME
    ):
        raise SignatureError(
            f"UDF {udf!r}: host_functions= has {shown(function)}, which is not a function with a"
            " name: write it with def"
        )
    if _is_async(function):
        raise SignatureError(
            f"UDF {udf!r}: host function {name!r} is async: give an ordinary function, which may"
            " call it by asyncio.run()"
        )
    try:
        returns_none = hints_of(function, name).get("return", ...) in (None, types.NoneType)
        signature = signature_of(
            function,
            name,
            vectorized=False,
            input_types=None,
            output_type="null" if returns_none else None,
        )
    except SignatureError as error:
        text = str(error).removeprefix(f"UDF {name!r}: ")
        text = text.partition(", or pass ")[0]  # an option, which host functions do not have
        raise SignatureError(f"UDF {udf!r}: host function {name!r}: {text}") from error
    result = ResultType(signature.result.type, True) if returns_none else signature.result
    for each in signature.parameters:
        if each.type.kind is Kind.NULL:
            raise SignatureError(
                f"UDF {udf!r}: host function {name!r}: parameter {each.name!r} is None alone:"
                " leave it out"
            )
    python = signature.python().parameters
    defaults = tuple(
        _default(udf, name, each, python[each.name].default) for each in signature.parameters
    )
    return HostFunction(
        name,
        function,
        signature.parameters,
        result,
        result.type.kind is Kind.NULL,
        defaults,
        row_reader(signature.parameters),
        _makers(signature.parameters),
        value_writer(name, Parameter("result", *result)),
    )


def _makers(parameters: Iterable[Parameter]) -> dict[int, Make]:
    made = enumerate(maker_of(each.shape) for each in parameters)
    return {index: make for index, make in made if make is not None}


def _is_async(function: Callable[..., Any]) -> bool:
    import inspect

    of_its_class = getattr(type(function), "__call__", None)  # noqa: B004 - an object that is called
    candidates = (function, of_its_class)
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates
    )


def _default(udf: str, name: str, parameter: Parameter, default: Any) -> bytes | None:
    """Returns a default, encoded; None where there is none. Raises SignatureError for one that is
    not of its parameter's type.
    """
    import inspect

    if default is inspect.Parameter.empty:
        return None
    advice = (
        f"UDF {udf!r}: host function {name!r}: the default of {parameter.name!r} is {default!r}"
    )
    if default is None and not parameter.nullable:
        raise SignatureError(f"{advice}: annotate it {parameter.type.kind.value} | None")
    try:
        return value_writer(name, parameter)(default)
    except TypeMappingError as error:
        raise SignatureError(
            f"{advice}, which is not of its type, {parameter.type.kind.value}"
        ) from error
