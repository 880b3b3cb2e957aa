"""Values that rows store as text, of types that few functions have: see ``value_codecs``."""

from __future__ import annotations

from collections.abc import Callable

from udfvm.codec.argument_errors import argument_error, wrong_value
from udfvm.codec.bounds import bytes_in
from udfvm.layouts import VALUE
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter, Type


def bytes_at(data: bytes, offset: int) -> bytes:
    """Returns the bytes of the value at an offset. Raises ValueError or struct.error."""
    _, length, begin = VALUE.unpack_from(data, offset)
    return bytes_in(data, begin, length)


def encode_interval(function: str, parameter: Parameter, value: object) -> bytes:
    """Returns the text of an interval. Raises TypeMappingError."""
    from udfvm.types.conversions import Loss, short
    from udfvm.types.intervals import is_interval, text_from_interval

    if not is_interval(value):
        raise wrong_value(function, parameter, value)
    try:
        return text_from_interval(value).encode()
    except Loss as loss:
        raise argument_error(function, parameter, f"is {short(value)}: {loss}") from None


def interval_decoder(type_: Type) -> Callable[[bytes, int], object]:
    """Returns what reads values of a type."""
    from udfvm.types.intervals import interval_from_text

    return lambda data, offset: interval_from_text(bytes_at(data, offset).decode())


def encode_decimal(function: str, parameter: Parameter, value: Any) -> bytes:
    """Returns the text of a decimal or integer. Raises TypeMappingError."""
    from udfvm.types.conversions import Loss
    from udfvm.types.decimals import exact_decimal, text_from_decimal

    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer and type(value).__name__ != "Decimal":
        raise wrong_value(function, parameter, value)
    try:
        return text_from_decimal(exact_decimal(value, parameter.type.name)).encode()
    except Loss as loss:
        raise argument_error(
            function, parameter, f"cannot be {parameter.type} without loss: {loss}"
        ) from None


def decimal_decoder(type_: Type) -> Callable[[bytes, int], object]:
    """Returns what reads values of a type."""
    from udfvm.types.decimals import decimal_from_text

    return lambda data, offset: decimal_from_text(bytes_at(data, offset).decode(), type_.name)
