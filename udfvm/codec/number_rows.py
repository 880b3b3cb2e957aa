"""Rows of numbers, each packed by one ``struct`` call."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence

from udfvm.layouts import ROW
from udfvm.static_typing import Any, Final
from udfvm.types.arrow_types import Kind, Parameter

#: Makes a row of as many arguments as there are parameters.
RowEncoder = Callable[[Sequence[Any]], bytes]

MAX_NUMBERS: Final = 14  # of a row that C code makes: ``udfvm/call/row_calls.c``
_FORMATS: Final = {"int64": "q", "double": "d"}
_LARGEST_EXACT: Final = 2**53  # up to there every integer is a float


def are_numbers(parameters: Sequence[Parameter]) -> bool:
    """Whether all parameters are int64 or double, which is what this module packs."""
    return all(parameter.type.name in _FORMATS for parameter in parameters)


def are_exact(arguments: Sequence[Any]) -> bool:
    """Whether all are numbers of Python that packing as floats rounds none of."""
    for argument in arguments:
        class_ = type(argument)
        if class_ is not float and (
            class_ is not int or not -_LARGEST_EXACT <= argument <= _LARGEST_EXACT
        ):
            return False
    return True


def number_packer(parameters: Sequence[Parameter]) -> RowEncoder | None:
    """What packs a row of numbers, and raises struct.error for what is no number of its type; None
    where a parameter is of another type.
    """
    if not are_numbers(parameters):
        return None
    if not parameters:
        return lambda arguments: ROW.pack(0, 0)
    pack, heads = _row_format(parameters)
    return lambda arguments: pack(
        *itertools.chain.from_iterable(zip(heads, arguments, strict=True))
    )


def number_unpacker(
    parameters: Sequence[Parameter],
) -> Callable[[bytes], list[Any] | None] | None:
    """What unpacks a row of numbers that a guest wrote, and returns None for a row that is not one
    of numbers of the declared types; None where a parameter is of another type.
    """
    if not parameters or not are_numbers(parameters):
        return None
    layout, heads = _row_layout(parameters)

    def unpack(payload: bytes) -> list[Any] | None:
        if len(payload) != layout.size:
            return None
        found = layout.unpack(payload)
        return list(found[1::2]) if found[::2] == heads else None

    return unpack


def _row_format(
    parameters: Sequence[Parameter],
) -> tuple[Callable[..., bytes], tuple[bytes, ...]]:
    """What packs a row of numbers, and what stands before each number: both are its arguments, in
    turn.
    """
    layout, heads = _row_layout(parameters)
    return layout.pack, heads


def _row_layout(parameters: Sequence[Parameter]) -> tuple[struct.Struct, tuple[bytes, ...]]:
    """The layout of a row of numbers, and what stands before each number."""
    heads = [ROW.pack(parameter.type.row or 0, 0) for parameter in parameters]
    heads[0] = ROW.pack(len(parameters), 0) + heads[0]
    layout = "".join(
        f"{len(head)}s{_FORMATS[each.type.name]}"
        for head, each in zip(heads, parameters, strict=True)
    )
    return struct.Struct("<" + layout), tuple(heads)


def fast_encoder(parameters: Sequence[Parameter], encode: RowEncoder) -> RowEncoder:
    """Packs rows whose arguments are all numbers of their parameters' own types; for the usual
    numbers of parameters without a loop. Leaves all other rows to ``encode``.
    """
    if not parameters or not are_numbers(parameters):
        return encode
    makers = {1: _encoder_of_one, 2: _encoder_of_two, 3: _encoder_of_three}
    classes = tuple(int if parameter.type.kind is Kind.INT else float for parameter in parameters)
    return makers.get(len(parameters), _encoder_of_many)(*_row_format(parameters), classes, encode)


def _encoder_of_one(
    pack: Callable[..., bytes],
    heads: tuple[bytes, ...],
    classes: tuple[type, ...],
    encode: RowEncoder,
) -> RowEncoder:
    (head,), (class_,) = heads, classes

    def encode_numbers(arguments: Sequence[Any]) -> bytes:
        (value,) = arguments
        if type(value) is class_:
            try:
                return pack(head, value)
            except struct.error:
                pass  # an integer out of range
        return encode(arguments)

    return encode_numbers


def _encoder_of_two(
    pack: Callable[..., bytes],
    heads: tuple[bytes, ...],
    classes: tuple[type, ...],
    encode: RowEncoder,
) -> RowEncoder:
    (head, second_head), (class_, second_class) = heads, classes

    def encode_numbers(arguments: Sequence[Any]) -> bytes:
        first, second = arguments
        if type(first) is class_ and type(second) is second_class:
            try:
                return pack(head, first, second_head, second)
            except struct.error:
                pass
        return encode(arguments)

    return encode_numbers


def _encoder_of_three(
    pack: Callable[..., bytes],
    heads: tuple[bytes, ...],
    classes: tuple[type, ...],
    encode: RowEncoder,
) -> RowEncoder:
    head, second_head, third_head = heads
    class_, second_class, third_class = classes

    def encode_numbers(arguments: Sequence[Any]) -> bytes:
        first, second, third = arguments
        if type(first) is class_ and type(second) is second_class and type(third) is third_class:
            try:
                return pack(head, first, second_head, second, third_head, third)
            except struct.error:
                pass
        return encode(arguments)

    return encode_numbers


def _encoder_of_many(
    pack: Callable[..., bytes],
    heads: tuple[bytes, ...],
    classes: tuple[type, ...],
    encode: RowEncoder,
) -> RowEncoder:
    def encode_numbers(arguments: Sequence[Any]) -> bytes:
        if tuple(map(type, arguments)) == classes:
            try:
                return pack(*itertools.chain.from_iterable(zip(heads, arguments, strict=True)))
            except struct.error:
                pass
        return encode(arguments)

    return encode_numbers
