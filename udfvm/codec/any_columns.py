"""Columns of any type, encoded ones as well, of which Arrow makes and joins only some by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pyarrow as pa

from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss
from udfvm.types.encodings import are_joined_in_order, decoded, restored


def nulls(rows: int, type_: pa.DataType) -> pa.Array:
    """Returns a column of nulls.

    >>> nulls(2, pa.list_view(pa.run_end_encoded(pa.int16(), pa.uuid()))).null_count
    2
    """
    decoded_type = decoded(type_)
    made = pa.nulls(rows, decoded_type)
    return made if decoded_type == type_ else restored(made, type_)


def concatenated(columns: Sequence[pa.Array], type_: pa.DataType) -> pa.Array:
    """Returns one column of the values of some columns of a type. The values of ordered
    dictionaries that differ ascend in that of the column.

    >>> type_ = pa.dictionary(pa.int8(), pa.list_(pa.int8()))
    >>> one, other = (restored(pa.array([[each]], pa.list_(pa.int8())), type_) for each in (1, 2))
    >>> concatenated([one, other], type_).to_pylist()
    [[1], [2]]
    """
    if len(columns) < 2:
        return columns[0] if columns else nulls(0, type_)
    if pa.types.is_dictionary(type_):
        told = [each for each in columns if len(each.dictionary)]
    else:
        told = list(columns)
    if are_joined_in_order(told, type_):
        with contextlib.suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):
            return pa.concat_arrays(columns)
    # There are dictionaries of some types, or ordered ones that differ, for example.
    decoded_type = decoded(type_)
    return restored(pa.concat_arrays([convert(each, decoded_type) for each in columns]), type_)


def joined_parts(columns: Sequence[pa.Array], type_: pa.DataType) -> list[pa.Array]:
    """Returns the values of some columns of a type in one column; in the columns as they are where
    they have more different values, or runs, than one column of the type.

    >>> type_ = pa.dictionary(pa.int8(), pa.int64())
    >>> parts = [restored(pa.array(range(start, start + 100)), type_) for start in (0, 100, 0)]
    >>> len(joined_parts(parts[::2], type_)), len(joined_parts(parts, type_))
    (1, 3)
    """
    try:
        return [concatenated(columns, type_)]
    except Loss:
        return list(columns)
