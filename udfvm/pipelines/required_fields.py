"""Structs with fields that are never null, for writers that look at the fields alone.

A null struct has nulls in such fields, too, which nobody sees. The writer of Parquet refuses them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.types.encodings import at_start, children


def without_hidden_nulls(array: Any) -> pa.Array:
    """Returns an array whose structs have nulls in a field that is never null only where a struct
    that is not null has them: that is a fault of the array.

    >>> made = pa.nulls(1, pa.struct([pa.field("x", pa.int8(), nullable=False)]))
    >>> without_hidden_nulls(made).field("x").null_count, made.field("x").null_count
    (0, 1)
    """
    type_ = array.type
    if isinstance(type_, pa.BaseExtensionType):
        return type_.wrap_array(without_hidden_nulls(array.storage))
    if not has_required_fields(type_):
        return array
    array = at_start(array)
    held = [without_hidden_nulls(child) for child in children(array)]
    if pa.types.is_struct(type_):
        held = [
            child if field.nullable else _valid_behind(array, child)
            for field, child in zip(type_, held, strict=True)
        ]
    own = array.buffers()[: type_.num_buffers]
    return pa.Array.from_buffers(type_, len(array), own, array.null_count, 0, held)


def has_required_fields(type_: Any) -> bool:
    """Whether structs, in lists and maps as well, have fields that are never null."""
    if isinstance(type_, pa.BaseExtensionType):
        return has_required_fields(type_.storage_type)
    if pa.types.is_struct(type_) and not all(field.nullable for field in type_):
        return True
    return _holds_others(type_) and any(
        has_required_fields(type_.field(index).type) for index in range(type_.num_fields)
    )


def _holds_others(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_struct(type_)
        or pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
        or pa.types.is_map(type_)
    )


def _valid_behind(structs: pa.Array, column: Any) -> pa.Array:
    """Returns a field of structs without nulls, if those structs are null that have them."""
    type_ = column.type
    if isinstance(type_, pa.BaseExtensionType):
        return type_.wrap_array(_valid_behind(structs, column.storage))
    if not column.null_count or not (_holds_others(type_) or not type_.num_fields):
        return column
    if pa.types.is_null(type_) or pc.any(pc.and_(structs.is_valid(), column.is_null())).as_py():
        return column
    column = at_start(column)
    own = [None, *column.buffers()[1 : type_.num_buffers]]
    return pa.Array.from_buffers(type_, len(column), own, 0, 0, children(column))
