"""Values of Arrow as Python's, which has not all of them: a guest may answer with a date of the
year 2,941,775.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from udfvm.errors import TypeMappingError
from udfvm.guest_text import visible
from udfvm.types.array_values import to_values

_REFUSALS: Final = (ArithmeticError, ValueError, pa.ArrowException)


def python_values(
    function: str, array: pa.Array | pa.ChunkedArray, what: str = "the result"
) -> list[Any]:
    """Returns the values of a guest's answer. Raises TypeMappingError, with the row, where Python
    has no such value.

    >>> python_values("f", pa.array([1, None]))
    [1, None]
    >>> python_values("f", pa.array([0, 2**30], pa.int32()).cast(pa.date32()))
    Traceback (most recent call last):
        ...
    udfvm.errors.TypeMappingError: UDF 'f', row 1: the result is a date32[day] that Python ...
    """
    try:
        return _values(array)
    except _REFUSALS as refusal:
        row = next((row for row in range(len(array)) if not _is_held(array.slice(row, 1))), None)
        where = f"UDF {function!r}" if row is None else f"UDF {function!r}, row {row}"
        text = visible(
            f"{where}: {what} is a {array.type} that Python cannot hold: {refusal}; Arrow can: ask"
            " for arrays"
        )
        failure = TypeMappingError(text)
        failure.row = row
        raise failure from refusal


def _values(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in to_values(chunk)]
    return to_values(array)


def _is_held(array: pa.Array | pa.ChunkedArray) -> bool:
    try:
        _values(array)
    except _REFUSALS:
        return False
    return True
