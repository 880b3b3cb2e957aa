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


class Form(enum.Enum):
    """What the caller passed, and so gets back; the first that occurs in this order."""

    CHUNKED = "pyarrow.ChunkedArray"
    ARRAY = "pyarrow.Array"
    NUMPY = "numpy.ndarray"
    SCALAR = "Python value"


def form_of(value: object) -> Form:
    """The form of one argument."""
    if isinstance(value, pa.ChunkedArray):
        return Form.CHUNKED
    if isinstance(value, pa.Array):
        return Form.ARRAY
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        return Form.NUMPY
    return Form.SCALAR


def form_of_result(arguments: Sequence[object]) -> Form:
    """The form of the result of a call with these arguments."""
    forms = {form_of(argument) for argument in arguments}
    return next(form for form in Form if form in forms) if forms else Form.SCALAR


def as_declared(function: str, result: Type, chunks: Sequence[pa.Array]) -> list[pa.Array]:
    """The chunks of a result, of the type as it was declared, which says where there are no nulls.
    Raises TypeMappingError.
    """
    if result.exact is None:
        return list(chunks)
    try:
        return [convert(chunk, result.exact) for chunk in chunks]
    except Loss as loss:
        raise TypeMappingError(
            f"UDF {function!r}: its result, row {loss.row} of its batch: {loss}"
        ) from None


def in_form(function: str, form: Form, type_: pa.DataType, chunks: Sequence[pa.Array]) -> Any:
    """The chunks of a result, in order, as the caller wants them; of a value, the first row. Raises
    TypeMappingError for what Python has no value for.
    """
    if form is Form.CHUNKED:
        return pa.chunked_array(chunks, type=type_)
    if len(chunks) == 1:
        whole = chunks[0]
    else:
        whole = pa.concat_arrays(chunks) if chunks else pa.nulls(0, type_)
    if form is Form.NUMPY:
        return to_numpy(function, whole)
    return whole if form is Form.ARRAY else python_values(function, whole[:1])[0]


def to_numpy(function: str, array: pa.Array) -> np.ndarray[Any, Any]:
    """As numpy, writeable. Nulls are NaN (floats), NaT (dates and times, which are in UTC) or None,
    in an array of objects (all others). Raises TypeMappingError for what Python has no value for.
    """
    if _has_numpy_form(array):
        values = array.to_numpy(zero_copy_only=False)
        return values if values.flags.writeable else values.copy()
    import numpy as np

    values = np.empty(len(array), dtype=object)
    values[:] = python_values(function, array)
    return values


def _has_numpy_form(array: pa.Array) -> bool:
    """Whether numpy has the values of an array, its nulls too, otherwise than as objects."""
    type_ = array.type
    if pa.types.is_time(type_):
        return False
    if pa.types.is_floating(type_) or pa.types.is_temporal(type_):
        return True
    return array.null_count == 0 and not pa.types.is_null(type_) and not type_.num_fields
