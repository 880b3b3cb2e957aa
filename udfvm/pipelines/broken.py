"""Columns of callers whose buffers contradict each other. Arrow trusts them, and may end the
process where it takes rows of them.
"""

from __future__ import annotations

import pyarrow as pa

from udfvm.types.nested_conversions import with_fields

_BYTES = {
    "string": pa.binary(),
    "large_string": pa.large_binary(),
    "string_view": pa.binary_view(),
}


def damage(column: pa.Array) -> str:
    """Returns what is wrong with the buffers of a column; nothing for one that is sound. Bytes that
    are no text are no damage: they concern the rows alone that have them.

    >>> offsets, text = pa.py_buffer(bytes([0] * 4 + [9] + [0] * 7)), pa.py_buffer(b"abc")
    >>> damage(pa.Array.from_buffers(pa.string(), 2, [None, offsets, text]))
    'Offset invariant failure: offset for slot 1 out of bounds: 9 > 3'
    >>> damage(pa.array([b"\\xff"]).view(pa.string()))
    ''
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            return str(error)
    else:
        return ""
    while isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        as_bytes = column.view(_with_bytes(column.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # Arrow has no such view
        return ""
    try:
        as_bytes.validate(full=True)
    except pa.ArrowInvalid as error:
        return str(error)
    return ""


def _with_bytes(type_: pa.DataType) -> pa.DataType:
    """Returns a type with bytes in the place of text."""
    if isinstance(type_, pa.BaseExtensionType):
        return _with_bytes(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return pa.dictionary(type_.index_type, _with_bytes(type_.value_type), type_.ordered)
    if not type_.num_fields or pa.types.is_run_end_encoded(type_):
        return _BYTES.get(str(type_), type_)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    held = [field.with_type(_with_bytes(field.type)) for field in fields]
    if pa.types.is_list_view(type_):
        return pa.list_view(held[0])
    return (
        pa.large_list_view(held[0])
        if pa.types.is_large_list_view(type_)
        else with_fields(type_, held)
    )
