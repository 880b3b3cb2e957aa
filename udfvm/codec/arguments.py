"""Arguments of a batch: arrays, and values that are repeated, as Arrow columns of the declared
types. ``udfvm/types/conversions.py`` says which types go where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.casts import cast_argument
from udfvm.codec.containers import Container, container_of
from udfvm.codec.numpy_columns import numpy_column
from udfvm.codec.python_dates import check_python_dates
from udfvm.codec.remedies import refuse_others
from udfvm.codec.scalars import refuse_collection, scalar_of
from udfvm.errors import TypeMappingError

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter


def columns_of(
    function: str,
    parameters: Sequence[Parameter],
    arguments: Sequence[object],
    *,
    vectorized: bool = True,
) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
    """Returns the arguments as columns of the declared types and of one length, and that length.
    Values are repeated.

    Not ``vectorized``: the function takes Python values, which not all dates and times have. Raises
    TypeMappingError, naming the argument.
    """
    if any(container_of(argument) is Container.PRODUCER for argument in arguments):
        from udfvm.codec.producers import taken

        arguments = taken(function, parameters, arguments).arguments
    lengths = {
        parameter.name: len(argument)  # type: ignore[arg-type]
        for parameter, argument in zip(parameters, arguments, strict=True)
        if container_of(argument) is not Container.SCALAR
    }
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise TypeMappingError(f"UDF {function!r}: the arrays have different lengths: {described}")
    rows = next(iter(lengths.values()), 1)
    columns = [
        _column(function, parameter, argument, rows)
        for parameter, argument in zip(parameters, arguments, strict=True)
    ]
    if not vectorized:
        for parameter, column in zip(parameters, columns, strict=True):
            check_python_dates(function, parameter, column)
    return columns, rows


def _column(
    function: str, parameter: Parameter, argument: Any, rows: int
) -> pa.Array | pa.ChunkedArray:
    container = container_of(argument)
    if container is Container.SCALAR:
        refuse_collection(function, parameter, argument)
        return pa.repeat(scalar_of(function, parameter, argument), rows)
    if container is Container.NUMPY:
        column = numpy_column(function, parameter, argument)
        refuse_others(function, parameter, column.type, argument)
        return cast_argument(function, parameter, column)
    return cast_argument(function, parameter, argument)
