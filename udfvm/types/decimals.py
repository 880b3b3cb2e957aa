"""Decimals: the names of their types, and Python's decimals as values of them.

The build copies this beside ``conversions``, so it imports nothing else of udfvm.
"""

from __future__ import annotations

import decimal
import functools
import re
from typing import Any, Final

from udfvm.tuples import NamedTuple
from udfvm.types.conversions import Loss, short

# Digits of the widest decimals, and room for what quantizing adds: no rounding goes unnoticed.
_CONTEXT: Final = decimal.Context(prec=200, traps=[decimal.Inexact, decimal.InvalidOperation])
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_NAME: Final = re.compile(r"decimal(32|64|128|256)\((\d{1,2}), ?(-?\d{1,3})\)")
_MAX_DIGITS: Final = {32: 9, 64: 18, 128: 38, 256: 76}


class DecimalType(NamedTuple):
    """Bits of a stored value, digits in all, and digits behind the point."""

    bits: int
    precision: int
    scale: int

    def __str__(self) -> str:
        return f"decimal{self.bits}({self.precision}, {self.scale})"


@functools.cache
def decimal_type(name: str) -> DecimalType | None:
    """Returns the type of a name; None for names of other types. Raises ValueError for digits that
    its bits do not hold.

    >>> decimal_type("decimal128(10, 2)")
    DecimalType(bits=128, precision=10, scale=2)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    type_ = DecimalType(int(match[1]), int(match[2]), int(match[3]))
    if not 1 <= type_.precision <= _MAX_DIGITS[type_.bits] or abs(type_.scale) > 100:
        raise ValueError(
            f"{name!r} is not a type: a decimal{type_.bits} has 1 to {_MAX_DIGITS[type_.bits]}"
            " digits"
        )
    return type_


def exact_decimal(value: Any, name: str) -> decimal.Decimal:
    """Returns a decimal or integer with as many digits behind the point as a type has. Raises Loss.

    >>> exact_decimal(decimal.Decimal("1.5"), "decimal128(5, 2)")
    Decimal('1.50')
    """
    type_ = decimal_type(name)
    if type_ is None:
        raise ValueError(f"{name} is not a decimal type")
    try:
        number = decimal.Decimal(value)
    except (decimal.DecimalException, OverflowError):
        raise _too_large(value, type_) from None
    if not number.is_finite():
        raise Loss(f"{short(value)} is not a finite number")
    if number and number.adjusted() >= type_.precision - type_.scale:
        raise _too_large(value, type_)
    step = decimal.Decimal((0, (1,), -type_.scale))
    try:
        return number.quantize(step, context=_CONTEXT)
    except decimal.DecimalException:
        found = (
            f"has more digits behind the point than the {type_.scale}"
            if type_.scale > 0
            else f"is not a whole multiple of the {step}"
        )
        raise Loss(
            f"{short(value)} {found} of {type_}: round it first, as value.quantize({step!r}) does"
        ) from None


def _too_large(value: object, type_: DecimalType) -> Loss:
    """Returns the error for a number whose first digit no value of the type reaches."""
    return Loss(
        f"{short(value)} is too large for {type_}, which has {type_.precision} digits in"
        f" all, {type_.scale} of them behind the point"
    )


def text_from_decimal(value: decimal.Decimal) -> str:
    """Returns the text of a decimal, without an exponent unless digits before the point are not
    known.
    """
    return str(value) if value.as_tuple().exponent > 0 else f"{value:f}"  # type: ignore[operator]


def decimal_from_text(text: str, name: str) -> decimal.Decimal:
    """Returns the decimal of a type that text stands for. Raises ValueError; Loss for digits that
    the type has not.

    >>> decimal_from_text("-1.5", "decimal64(5, 2)")
    Decimal('-1.50')
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{short(text)} where a decimal number is declared")
    return exact_decimal(decimal.Decimal(text), name)
