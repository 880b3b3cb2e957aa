"""Containers of arguments and results: values, numpy arrays, arrays of Arrow, and what other
libraries have. What a caller passes decides what it gets back.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.late_numpy import check_numpy
from udfvm.codec.orders import orders_among
from udfvm.codec.python_values import python_values
from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss
from udfvm.types.encodings import restored, with_values_of
from udfvm.types.nested import holds_others

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Type


class Container(enum.Enum):
    """What the caller passed, and so gets back; the first that occurs in this order. Producers have
    an order of their own (``producers``).
    """

    PRODUCER = "an object of another library that holds columns"
    CHUNKED = "pyarrow.ChunkedArray"
    ARRAY = "pyarrow.Array"
    NUMPY = "numpy.ndarray"
    SCALAR = "Python value"
    PARTS = "pyarrow.ChunkedArray of as many chunks as encodings take"  # for pipelines alone


def container_of(value: object) -> Container:
    """Returns the container of one argument."""
    if isinstance(value, pa.ChunkedArray):
        return Container.CHUNKED
    if isinstance(value, pa.Array):
        return Container.ARRAY
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        is_unmasked = type(value) is numpy.ndarray or not _is_masked(value)
        return Container.NUMPY if is_unmasked else Container.PRODUCER
    return Container.PRODUCER if _is_producer(value) else Container.SCALAR


def _is_masked(value: np.ndarray[Any, Any]) -> bool:
    masked: Any = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


def _is_producer(value: Any) -> bool:
    """Whether a value holds columns: through Arrow's PyCapsule interface, as pandas has them, or
    as a buffer whose items are no bytes.
    """
    class_ = type(value)
    if hasattr(class_, "__arrow_c_stream__") or hasattr(class_, "__arrow_c_array__"):
        return True
    if hasattr(class_, "__arrow_c_device_array__"):
        return True
    if class_ is memoryview:
        return value.format not in ("B", "c")
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None and hasattr(class_, "dtype") and hasattr(pandas, "Index"):
        return isinstance(value, (pandas.Index, pandas.api.extensions.ExtensionArray))
    array = sys.modules.get("array")
    return array is not None and class_ is array.array


def container_of_result(arguments: Sequence[object]) -> Container:
    """Returns the container of the result of a call with these arguments."""
    containers = {container_of(argument) for argument in arguments}
    return (
        next(container for container in Container if container in containers)
        if containers
        else Container.SCALAR
    )


def without_encodings(function: str, result: Type, chunks: Sequence[pa.Array]) -> list[pa.Array]:
    """Returns the chunks of a result as the decoded type of what was declared, which says where
    there are no nulls. Raises TypeMappingError.
    """
    if result.exact is None:
        return list(chunks)
    type_, made = result.as_declared_decoded, list[pa.Array]()
    try:
        made += (convert(chunk, type_) for chunk in chunks)
    except Loss as loss:
        row = None if loss.row is None else sum(map(len, made)) + loss.row
        raise _wrong_result(function, f"is {loss}", row) from None
    return made


def as_declared(
    function: str, result: Type, chunks: Sequence[pa.Array], orders: Sequence[pa.Array] = ()
) -> list[pa.Array]:
    """Returns the chunks of a result, of the type as it was declared; dictionaries with the first
    of ``orders`` that has their values. Raises TypeMappingError.
    """
    decoded = without_encodings(function, result, chunks)
    return [_encoded(function, result, chunk, orders) for chunk in decoded]


def _encoded(function: str, result: Type, array: pa.Array, orders: Sequence[pa.Array]) -> pa.Array:
    try:
        return _restored(result, array, orders)
    except Loss as loss:
        raise _too_many(function, result, loss, None) from None


def _restored(result: Type, array: pa.Array, orders: Sequence[pa.Array]) -> pa.Array:
    if result.exact is None:
        return array
    for order in orders:
        made = with_values_of(array, result.exact, order)
        if made is not None:
            return made
    return restored(array, result.exact)


def _fitting_parts(
    function: str, result: Type, array: pa.Array, orders: Sequence[pa.Array], first_row: int
) -> list[pa.Array]:
    """Returns an array as its type was declared, in as many parts as it takes: one has no more
    values and runs than narrow indices and run ends. Raises TypeMappingError for a row with more.
    """
    try:
        return [_restored(result, array, orders)]
    except Loss as loss:
        if len(array) < 2:
            raise _too_many(function, result, loss, first_row) from None
    half = len(array) // 2
    return [
        made
        for start, part in ((0, array.slice(0, half)), (half, array.slice(half)))
        for made in _fitting_parts(function, result, part, orders, first_row + start)
    ]


def _too_many(function: str, result: Type, loss: Loss, row: int | None) -> TypeMappingError:
    """Returns the error for more values, or rows, than indices and run ends have."""
    way = f"declare the result as {result}, or as a type with wider indices or run ends"
    return _wrong_result(function, f"{loss}: {way}", row)


def _wrong_result(function: str, reason: str, row: int | None) -> TypeMappingError:
    """Returns the error for a result. ``row`` is the index in what came at once."""
    where = "" if row is None else f", row {row} of its batch"
    failure = TypeMappingError(f"UDF {function!r}{where}: the result {reason}")
    failure.row, failure.reason = row, reason
    return failure


def result_in(
    function: str,
    container: Container,
    result: Type,
    chunks: Sequence[pa.Array],
    arguments: Sequence[object],
) -> Any:
    """Returns the chunks of a result of a call with some arguments, in order, as the caller wants
    them: in columns of Arrow, of the type as it was declared. Raises TypeMappingError.
    """
    orders = [] if result.exact is None else orders_among(arguments, result.exact)
    if container is Container.PARTS:
        made, rows = list[pa.Array](), 0
        for chunk in without_encodings(function, result, chunks):
            made += _fitting_parts(function, result, chunk, orders, rows)
            rows += len(chunk)
        return pa.chunked_array(made, result.as_declared)
    if container is Container.CHUNKED:
        made = as_declared(function, result, chunks, orders)
        return in_container(function, container, result.as_declared, made)
    decoded = without_encodings(function, result, chunks)
    whole = in_container(function, container, result.as_declared_decoded, decoded)
    return _encoded(function, result, whole, orders) if container is Container.ARRAY else whole


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
    check_numpy(function)
    if _is_numpy_like(array):
        values = array.to_numpy(zero_copy_only=False)
        return values if values.flags.writeable else values.copy()
    import numpy as np

    values = np.empty(len(array), dtype=object)
    values[:] = python_values(function, array)
    return values


def to_masked(function: str, array: pa.Array) -> np.ma.MaskedArray[Any, Any]:
    """As a masked array of numpy, in which nulls are masked; values under the mask have no meaning.
    Raises TypeMappingError for what Python has no value for.
    """
    import numpy as np

    valid = array.is_valid().to_numpy(zero_copy_only=False)
    if not array.null_count:
        return np.ma.MaskedArray(to_numpy(function, array), ~valid)
    present = to_numpy(function, array.drop_null())
    values = np.zeros(len(array), present.dtype)
    values[valid] = present
    return np.ma.MaskedArray(values, ~valid)


def _is_numpy_like(array: pa.Array) -> bool:
    """Whether numpy has the values of an array, its nulls too, otherwise than as objects."""
    type_ = array.type
    if pa.types.is_time(type_) or pa.types.is_interval(type_):  # pyarrow makes offsets of pandas
        return False
    if pa.types.is_floating(type_) or pa.types.is_temporal(type_):
        return True
    return array.null_count == 0 and not pa.types.is_null(type_) and not holds_others(type_)
