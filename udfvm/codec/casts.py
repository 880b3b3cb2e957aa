"""Arrays as the declared types: what ``conversions`` allows, with errors that name the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.any_columns import nulls
from udfvm.codec.argument_errors import argument_error, wrong_type
from udfvm.codec.remedies import remedy_of
from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss, Refused
from udfvm.types.nested_conversions import difference
from udfvm.types.numpy_conversions import from_numpy
from udfvm.types.unions import is_hollow

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Parameter


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
        where = difference(array.type, parameter.type.arrow)
        remedy = remedy_of(array.type, parameter.type, array)
        found = f"an array of {array.type}{where}"
        raise wrong_type(function, parameter, f"{found}; {remedy}" if remedy else found) from None
    except Loss as loss:
        row = None if loss.row is None else first_row + loss.row
        raise argument_error(function, parameter, f"is {loss}", row) from None
    except (pa.ArrowException, NotImplementedError) as error:
        raise wrong_type(function, parameter, f"an array of {array.type}: {error}") from error


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
