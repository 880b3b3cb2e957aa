"""Columns that functions return, or yield: of pyarrow, numpy, pandas, polars, and of anything with
Arrow's PyCapsule interface.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from _udfvm_conversions import Loss, Refused, is_missing, surrogate_of, without_missing
from _udfvm_nested import type_name
from _udfvm_nested_values import value_check
from _udfvm_numpy_conversions import from_numpy, from_objects
from _udfvm_stream import strict_cast
from _udfvm_texts import counted
from _udfvm_unions import array_of

if TYPE_CHECKING:
    import numpy as np


def returned_column(value: object, declared: pa.DataType, rows: int) -> pa.Array:
    """Returns the checked column that a function returned."""
    numpy = sys.modules.get("numpy")
    if isinstance(value, pa.Array):
        array = value
    elif isinstance(value, pa.ChunkedArray):
        array = pa.concat_arrays(value.chunks) if value.num_chunks else pa.nulls(0, value.type)
    elif numpy is not None and isinstance(value, numpy.ndarray):
        array = _from_numpy(value, declared)
    else:
        array = _from_producer(value, declared)
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if len(array) != rows:
        returned, wanted = counted(len(array), "value"), counted(rows, "row")
        raise ValueError(f"the function returned {returned} for {wanted}")
    return strict_cast(array, declared)


def _from_numpy(value: np.ndarray[Any, Any], declared: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if value.ndim != 1:
        raise ValueError(
            f"the function returned an array of {value.ndim} dimensions: return one of 1 dimension,"
            " with a value for each row"
        )
    if value.dtype.kind in "OT":
        return column_of_values(value.tolist(), declared)
    try:
        return from_numpy(value, declared)
    except Refused as refused:
        raise TypeError(
            f"the function returned {refused}, but its result is declared {declared}"
        ) from None
    except Loss as loss:
        raise ValueError(
            f"the function returned a value that its declared result type, {declared}, cannot hold:"
            f" row {loss.row} {loss}"
        ) from None


def _from_producer(value: Any, declared: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Converts a column of another library."""
    import _udfvm_series

    if _udfvm_series.is_of_pandas(value):
        return _from_series(value, declared)
    if _udfvm_series.is_frame_of_pandas(value):
        return _from_frame(value, declared)
    class_ = type(value)
    if hasattr(class_, "__arrow_c_array__") or hasattr(class_, "__arrow_c_stream__"):
        return _udfvm_series.from_capsules(value)
    raise TypeError(
        f"the function returned {class_.__name__}, not an array: return a pyarrow.Array, a"
        " numpy.ndarray or a Series"
    )


def _from_series(series: Any, declared: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Converts a Series, Index or array of pandas, which has NaN for nulls."""
    if str(series.dtype) != "object":
        return pa.array(series, from_pandas=True)
    return column_of_values(without_missing(series.tolist()), declared)


def _from_frame(frame: Any, declared: pa.DataType) -> pa.Array:
    """Converts a DataFrame of pandas to structs, whose fields are its columns."""
    names = [str(name) for name in frame.columns]
    fields = list(declared) if pa.types.is_struct(declared) else None
    if fields is None or [field.name for field in fields] != names:
        advice = ": return a Series, such as frame['x']" if fields is None else ""
        raise TypeError(
            f"the function returned a DataFrame of {counted(len(names), 'column')}"
            f" ({', '.join(names)}), but its result is declared {declared}{advice}"
        )
    if not names:
        return pa.array([{}] * len(frame), declared)
    columns = [
        returned_column(frame.iloc[:, place], field.type, len(frame))
        for place, field in enumerate(fields)
    ]
    return pa.StructArray.from_arrays(
        columns, fields=[field.with_nullable(True) for field in fields]
    )


def column_of_values(values: list[Any], declared: pa.DataType) -> pa.Array:
    """Returns a column of values, each converted as the result of a scalar function."""
    array = from_objects(values, declared)
    if array is not None:
        return array
    check = value_check(type_name(declared))
    made = []
    for row, value in enumerate(values):
        try:
            made.append(None if value is None or is_missing(value) else check(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"row {row}: {error}") from None
    try:
        return array_of(made, declared)
    except UnicodeEncodeError as error:
        raise ValueError(f"the function returned text that {surrogate_of(error)}") from None
