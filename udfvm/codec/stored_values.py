"""What the codecs of values have in common: ``value_codecs`` is their table."""

from __future__ import annotations

from collections.abc import Callable

from udfvm.layouts import INTEGER
from udfvm.static_typing import Any
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Parameter, Type

#: Makes what is stored of a value that is not None: (name of the function, parameter, value).
#: Raises TypeMappingError.
Encoder = Callable[[str, Parameter, Any], int | float | bytes]
#: Makes a value of what a guest stored: (a row or reply, the offset of the value in it). Raises
#: ValueError, OverflowError or struct.error for what is not valid.
Decoder = Callable[[bytes, int], object]


class NoPythonValueError(ValueError):
    """A value that its type has, and Python has not."""


class ValueCodec(NamedTuple):
    """The values of one kind of type.

    Attributes:
        encode: for columns, which take every value of the type.
        encode_argument: for scalar functions, which take the values that Python has too.
        decoder: makes a decoder for a type of the kind.
    """

    encode: Encoder
    encode_argument: Encoder
    decoder: Callable[[Type], Decoder]


def integer_at(data: bytes, offset: int) -> int:
    """Returns the integer of the value at an offset. Raises struct.error."""
    integer: int = INTEGER.unpack_from(data, offset)[2]
    return integer
