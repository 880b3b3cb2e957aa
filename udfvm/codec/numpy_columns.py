"""Arrays of numpy, and Python values, as columns of Arrow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.argument_errors import argument_error, wrong_type
from udfvm.codec.casts import arrow_array, cast_argument
from udfvm.codec.remedies import refuse_others
from udfvm.codec.scalars import scalar_of
from udfvm.errors import TypeMappingError
from udfvm.types.arrow_types import named
from udfvm.types.nested import type_name
from udfvm.types.numpy_conversions import from_objects

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Parameter


def numpy_column(
    function: str, parameter: Parameter, values: np.ndarray[Any, Any]
) -> pa.Array | pa.ChunkedArray:
    """Returns an array of numpy as Arrow has it, not always of the declared type yet. Masked
    values are nulls. Raises TypeMappingError.
    """
    if values.ndim != 1:
        raise wrong_type(
            function,
            parameter,
            f"a numpy array of {values.ndim} dimensions: a column has one; pass array.ravel(), or"
            " declare a list",
        )
    if values.dtype.names is not None:
        return _struct_column(function, parameter, values)
    if values.dtype.kind not in "OT":
        return arrow_array(function, parameter, values)
    return column_of_objects(function, parameter, values.tolist())


def column_of_objects(function: str, parameter: Parameter, objects: list[Any]) -> pa.Array:
    """Returns an array of the declared type of Python objects, each of which counts alone. Raises
    TypeMappingError.
    """
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


def _struct_column(
    function: str, parameter: Parameter, values: np.ndarray[Any, Any]
) -> pa.StructArray:
    """Makes structs of an array with fields. A struct whose fields are all masked is a null."""
    type_ = parameter.type.arrow
    if not pa.types.is_struct(type_):
        raise wrong_type(
            function,
            parameter,
            f"a numpy array of {values.dtype}; pass one of its fields, such as"
            f" array[{values.dtype.names[0]!r}]",
        )
    fields = [type_.field(index) for index in range(type_.num_fields)]
    if tuple(field.name for field in fields) != values.dtype.names:
        names = ", ".join(field.name for field in fields)
        raise wrong_type(
            function,
            parameter,
            f"a numpy array of {values.dtype}: its fields must be {names}, in that order",
        )
    columns = []
    for field in fields:
        inner = parameter._replace(type=named(type_name(field.type)))
        try:
            column = numpy_column(function, inner, values[field.name])
            refuse_others(function, inner, column.type, values, f"array[{field.name!r}]")
            column = cast_argument(function, inner, column)
        except TypeMappingError as error:
            raise argument_error(
                function, parameter, f"has a field {field.name!r} that {error.reason}", error.row
            ) from None
        columns.append(
            pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
        )
    mask = _all_masked(values)
    return pa.StructArray.from_arrays(columns, fields=fields, mask=mask)


def _all_masked(values: Any) -> pa.Array | None:
    mask = getattr(values, "mask", None)
    if mask is None or not mask.dtype.names:
        return None
    return pa.array([all(row) for row in mask.tolist()], pa.bool_())
