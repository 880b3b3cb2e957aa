"""Calls of one row: Python values to ``struct udfvm_row``, and replies of one value."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from udfvm.codec.number_rows import (
    MAX_NUMBERS,
    RowEncoder,
    are_exact,
    fast_encoder,
    number_packer,
)
from udfvm.codec.stored_values import NoPythonValueError
from udfvm.codec.value_codecs import codec_of, decoder_of, zero
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.layouts import INTEGER, REAL, ROW, VALUE
from udfvm.protocol import TYPE_NULL
from udfvm.static_typing import Any, Final
from udfvm.types.arrow_types import Parameter, ResultType

_NULL_VALUE: Final = INTEGER.pack(TYPE_NULL, 0, 0)


class RowCodec:
    """Rows of one signature. All of its types must have a row form (``Type.row``).

    Arguments must be Python values: None, bool, int, float, str, bytes, date, datetime, or others
    that stand for them.
    """

    def __init__(self, function: str, parameters: Sequence[Parameter], result: ResultType) -> None:
        self._function = function
        self._parameters = tuple(parameters)
        self._result = result
        self._refuses_null = tuple(not parameter.nullable for parameter in parameters)
        self._any_refuses_null = any(self._refuses_null)
        self._header = ROW.pack(len(self._parameters), 0)
        self._encoders = tuple(
            codec_of(parameter.type.kind).encode_argument for parameter in parameters
        )
        self._pack_numbers = number_packer(self._parameters)
        #: All parameters are numbers, so that calls can be made in C.
        self.takes_numbers = (
            self._pack_numbers is not None and 0 < len(self._parameters) <= MAX_NUMBERS
        )
        self._result_row = -1 if result.type.row is None else int(result.type.row)
        self._decode = decoder_of(result.type)
        # The payload of a ROW request. Raises TypeMappingError for an argument that is not of its
        # declared type.
        self.encode: Final[RowEncoder] = fast_encoder(self._parameters, self._encode)

    def is_null(self, arguments: Sequence[object]) -> bool:
        """Whether a null argument decides that the result is null."""
        if not self._any_refuses_null or None not in arguments:
            return False
        return any(
            argument is None and refuses
            for argument, refuses in zip(arguments, self._refuses_null, strict=True)
        )

    def _encode(self, arguments: Sequence[Any]) -> bytes:
        """The same for any arguments."""
        if self._pack_numbers is not None and are_exact(arguments):
            try:
                return self._pack_numbers(arguments)
            except struct.error:
                pass  # an integer out of range: named below
        values = []
        texts = []
        offset = len(self._header) + len(arguments) * VALUE.size
        for parameter, encode, argument in zip(
            self._parameters, self._encoders, arguments, strict=True
        ):
            if argument is None:
                values.append(_NULL_VALUE)
                continue
            stored = encode(self._function, parameter, argument)
            values.append(_packed(parameter, stored, offset))
            if isinstance(stored, bytes):
                texts.append(stored)
                offset += len(stored)
        return b"".join((self._header, *values, *texts))

    def decode(self, reply: bytes) -> object:
        """Returns the value in the reply to a ROW request, which is the guest's word: all of it is
        checked. Raises ProtocolError; TypeMappingError for a date or time that Python has not.
        """
        try:
            row_type, _, _ = VALUE.unpack_from(reply)
            if row_type == TYPE_NULL:
                return None
            if row_type != self._result_row:
                raise ValueError(
                    f"a value of type {row_type} where {self._result.type} is declared"
                )
            return self._decode(reply, 0)
        except NoPythonValueError as error:
            reason = (
                f"the result is a {self._result.type} that Python cannot hold: {error}; Arrow can:"
                " ask for arrays"
            )
            raise TypeMappingError(f"UDF {self._function!r}: {reason}") from error
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(
                f"UDF {self._function!r}: the guest's reply is not valid: {error}"
            ) from error

    def default(self) -> bytes:
        """Returns a row of zeros and empty strings, of the right shape, to warm up with."""
        zeros = [zero(parameter.type) for parameter in self._parameters]
        offset = len(self._header) + len(zeros) * VALUE.size
        values, texts = [], []
        for parameter, stored in zip(self._parameters, zeros, strict=True):
            values.append(_packed(parameter, stored, offset))
            if isinstance(stored, bytes):
                texts.append(stored)
                offset += len(stored)
        return b"".join((self._header, *values, *texts))


def _packed(parameter: Parameter, stored: float | bytes, offset: int) -> bytes:
    """``struct udfvm_value`` of what is stored of a value; bytes will lie at the offset."""
    row_type = parameter.type.row or 0
    if isinstance(stored, bytes):
        return VALUE.pack(row_type, len(stored), offset)
    return (REAL if isinstance(stored, float) else INTEGER).pack(row_type, 0, stored)


def encode_value(function: str, parameter: Parameter, value: object) -> bytes:
    """Returns a ``struct udfvm_value`` and its bytes. Raises TypeMappingError for a value that is
    not of the type.
    """
    if value is None:
        return _NULL_VALUE
    stored = codec_of(parameter.type.kind).encode(function, parameter, value)
    packed = _packed(parameter, stored, VALUE.size)
    return packed + stored if isinstance(stored, bytes) else packed
