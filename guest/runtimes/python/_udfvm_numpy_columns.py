"""Columns as arrays of numpy, as functions get them: also what a Series of pandas is made of, where
pandas has no dtype of its own.

pyarrow's conversion of intervals is wrong: it makes offsets of pandas, and ends the process where
there is no pandas. In lists and structs it makes floats of integers among nulls, which have not
every integer, and integers of times in nanoseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from _udfvm_array_values import to_values
from _udfvm_nested import holds_others

if TYPE_CHECKING:
    import numpy as np


def to_numpy(column: pa.Array) -> np.ndarray[Any, Any]:
    """Returns a column as an array: of objects where numpy has no type with its nulls. A list in it
    is such an array of its items.
    """
    if _is_numpy_like(column):
        return column.to_numpy(zero_copy_only=False)
    import numpy as np

    values = np.empty(len(column), dtype=object)
    values[:] = _objects(column)
    return values


def _is_numpy_like(column: pa.Array) -> bool:
    type_ = column.type
    if pa.types.is_time(type_) or pa.types.is_interval(type_):
        return False
    if pa.types.is_floating(type_) or pa.types.is_temporal(type_):
        return True
    return not (column.null_count or pa.types.is_null(type_) or holds_others(type_))


def _objects(column: pa.Array) -> list[Any]:
    """Returns the values of a column: of lists arrays, of structs dictionaries, all else as scalar
    functions have it.
    """
    type_ = column.type
    if pa.types.is_struct(type_) and len(set(type_.names)) == type_.num_fields:
        fields = [_objects(column.field(index)) for index in range(type_.num_fields)]
        rows = zip(*fields, strict=True) if fields else [()] * len(column)
        return [
            dict(zip(type_.names, row, strict=True)) if valid else None
            for row, valid in zip(rows, column.is_valid().to_pylist(), strict=True)
        ]
    if not _is_list(type_):
        return to_values(column)
    items, start, made = to_numpy(column.flatten()), 0, []
    for length in pc.list_value_length(column).to_pylist():
        made.append(None if length is None else items[start : start + length])
        start += length or 0
    return made


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    )
