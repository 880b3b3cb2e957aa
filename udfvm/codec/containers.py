"""Forms of arguments and results: values, numpy arrays, arrays of Arrow. What a caller passes
decides what it gets back.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.python_values import python_values
from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Type


class Container(enum.Enum):
    """What the caller passed, and so gets back; the first that occurs in this order."""

    CHUNKED = "pyarrow.ChunkedArray"
    ARRAY = "pyarrow.Array"
    NUMPY = "numpy.ndarray"
    SCALAR = "Python value"


def container_of(value: object) -> Container:
    """Returns the container of one argument."""
    if isinstance(value, pa.ChunkedArray):
        return Container.CHUNKED
    if isinstance(value, pa.Array):
        return Container.ARRAY
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        return Container.NUMPY
    return Container.SCALAR


def container_of_result(arguments: Sequence[object]) -> Container:
    """Returns the container of the result of a call with these arguments."""
    containers = {container_of(argument) for argument in arguments}
    return (
        next(container for container in Container if container in containers)
        if containers
        else Container.SCALAR
    )


def as_declared(function: str, result: Type, chunks: Sequence[pa.Array]) -> list[pa.Array]:
    """Returns the chunks of a result, of the type as it was declared, which says where there are no
    nulls. Raises TypeMappingError.
    """
    if result.exact is None:
        return list(chunks)
    try:
        return [convert(chunk, result.exact) for chunk in chunks]
    except Loss as loss:
        raise TypeMappingError(
            f"UDF {function!r}: its result, row {loss.row} of its batch: {loss}"
        ) from None


def in_container(
    function: str, container: Container, type_: pa.DataType, chunks: Sequence[pa.Array]
) -> Any:
    """Returns the chunks of a result, in order, as the caller wants them; of a value, the first
    row. Raises TypeMappingError for what Python has no value for.
    """
    if container is Container.CHUNKED:
        return pa.chunked_array(chunks, type=type_)
    if len(chunks) == 1:
        whole = chunks[0]
    else:
        whole = pa.concat_arrays(chunks) if chunks else pa.nulls(0, type_)
    if container is Container.NUMPY:
        return to_numpy(function, whole)
    return whole if container is Container.ARRAY else python_values(function, whole[:1])[0]


def to_numpy(function: str, array: pa.Array) -> np.ndarray[Any, Any]:
    """As numpy, writeable. Nulls are NaN (floats), NaT (dates and times, which are in UTC) or None,
    in an array of objects (all others). Raises TypeMappingError for what Python has no value for.
    """
    if _is_numpy_like(array):
        values = array.to_numpy(zero_copy_only=False)
        return values if values.flags.writeable else values.copy()
    import numpy as np

    values = np.empty(len(array), dtype=object)
    values[:] = python_values(function, array)
    return values


def _is_numpy_like(array: pa.Array) -> bool:
    """Whether numpy has the values of an array, its nulls too, otherwise than as objects."""
    type_ = array.type
    if pa.types.is_time(type_):
        return False
    if pa.types.is_floating(type_) or pa.types.is_temporal(type_):
        return True
    return array.null_count == 0 and not pa.types.is_null(type_) and not type_.num_fields
