"""Arrays as the declared types: what ``conversions`` allows, with errors that name the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.any_columns import nulls
from udfvm.codec.argument_errors import MASKED, argument_error, wrong_type
from udfvm.types.array_conversions import convert
from udfvm.types.arrow_types import Kind
from udfvm.types.conversions import Loss, Refused
from udfvm.types.nested_conversions import difference
from udfvm.types.numpy_conversions import from_numpy
from udfvm.types.unions import is_hollow

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Parameter, Type


def cast_argument(function: str, parameter: Parameter, array: Any) -> Any:
    """Returns an array, or a chunked array, as the declared type travels. Encoded ones
    (dictionary, run-end, views) are decoded, of extension types the storage is taken. Raises
    TypeMappingError.
    """
    if not isinstance(array, pa.ChunkedArray):
        return _cast_chunk(function, parameter, array, 0)
    chunks, start = [], 0
    for chunk in array.chunks:
        chunks.append(_cast_chunk(function, parameter, chunk, start))
        start += len(chunk)
    if not chunks:
        if is_hollow(array.type):  # pyarrow ends the process where it makes arrays of it
            raise wrong_type(function, parameter, f"a chunked array of {array.type}")
        chunks = [_cast_chunk(function, parameter, nulls(0, array.type), 0)]
    return pa.chunked_array(chunks, type=parameter.type.arrow)


def _cast_chunk(function: str, parameter: Parameter, array: pa.Array, first_row: int) -> pa.Array:
    try:
        if parameter.type.exact is not None:
            array = convert(array, parameter.type.as_declared_decoded)
        return convert(array, parameter.type.arrow)
    except Refused:
        raise wrong_type(
            function,
            parameter,
            f"an array of {array.type}{difference(array.type, parameter.type.arrow)};"
            f" {_how(array.type, parameter.type)}",
        ) from None
    except Loss as loss:
        row = None if loss.row is None else first_row + loss.row
        raise argument_error(function, parameter, f"is {loss}", row) from None
    except (pa.ArrowException, NotImplementedError) as error:
        raise wrong_type(function, parameter, f"an array of {array.type}: {error}") from error


def _how(found: pa.DataType, declared: Type) -> str:
    """Returns what casts an array: in general terms for types that pyarrow's casts do not know by
    name.
    """
    if declared.kind is Kind.LIST and not pa.types.is_nested(found):
        return "an array is a column, with a value for each row: pass array.tolist() for one list"
    meant = "cast it first if that is meant"
    try:
        pa.nulls(0).cast(str(declared.arrow))
    except (pa.ArrowException, ValueError):
        return meant
    if pa.types.is_timestamp(found) and pa.types.is_date(declared.arrow):
        other = "series.dt.date of pandas"
    elif pa.types.is_floating(found) and declared.kind in (Kind.INT, Kind.BOOL):
        masked = MASKED[declared.name]
        other = f"series.astype({masked!r}) of pandas, which keeps missing values"
    else:
        other = "series.astype(...) of pandas"
    return f"{meant}: array.cast({str(declared.arrow)!r}) of pyarrow, or {other}"


def arrow_array(
    function: str, parameter: Parameter, values: np.ndarray[Any, Any]
) -> pa.Array | pa.ChunkedArray:
    """Returns a numpy array of one dimension, of no objects, as Arrow has it: not yet of the
    declared type. Raises TypeMappingError.
    """
    try:
        return from_numpy(values, parameter.type.arrow)
    except Refused as refused:
        raise wrong_type(function, parameter, str(refused)) from None
    except Loss as loss:
        raise argument_error(function, parameter, str(loss), loss.row) from None
