"""Arguments of a batch: arrays, and values that are repeated, as Arrow columns of the declared
types. ``udfvm/types/conversions.py`` says which types go where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.argument_errors import argument_error, wrong_type
from udfvm.codec.casts import arrow_array, cast_argument
from udfvm.codec.containers import Container, container_of
from udfvm.codec.python_dates import check_python_dates
from udfvm.codec.scalars import refuse_collection, scalar_of
from udfvm.errors import TypeMappingError
from udfvm.types.numpy_conversions import from_objects

if TYPE_CHECKING:
    import numpy as np

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
        argument = _from_numpy(function, parameter, argument)
    return cast_argument(function, parameter, argument)


def _from_numpy(
    function: str, parameter: Parameter, values: np.ndarray[Any, Any]
) -> pa.Array | pa.ChunkedArray:
    if values.ndim != 1:
        raise wrong_type(function, parameter, f"a numpy array of {values.ndim} dimensions")
    if values.dtype.kind not in "OT":
        return arrow_array(function, parameter, values)
    objects = values.tolist()
    array = from_objects(objects, parameter.type.arrow)
    return column_of_values(function, parameter, objects) if array is None else array


def column_of_values(function: str, parameter: Parameter, values: Iterable[Any]) -> pa.Array:
    """Returns an array of Python values, each as it would be alone. Raises TypeMappingError."""
    scalars = []
    for row, value in enumerate(values):
        try:
            scalars.append(scalar_of(function, parameter, value))
        except TypeMappingError as error:
            raise argument_error(function, parameter, error.reason, row) from None
    if parameter.type.is_nested and scalars:  # pa.array() takes no scalars that are null lists
        return pa.concat_arrays([pa.repeat(scalar, 1) for scalar in scalars])
    return pa.array(scalars, parameter.type.arrow)
