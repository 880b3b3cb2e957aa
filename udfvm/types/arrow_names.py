"""The types of pyarrow that the names of types stand for."""

from __future__ import annotations

import functools

from udfvm.static_typing import TYPE_CHECKING
from udfvm.types.encodings import encoded_type, encoding_of
from udfvm.types.names import JSON_NAME
from udfvm.types.nested import Nested, take_apart

if TYPE_CHECKING:
    import pyarrow as pa


@functools.cache
def arrow_type(name: str) -> pa.DataType:
    """Returns the pyarrow type of a name, which is none of the aliases. Raises ValueError."""
    import pyarrow as pa

    if name == JSON_NAME:
        return pa.string()
    if (encoding := encoding_of(name)) is not None:
        return encoded_type(encoding, arrow_type)
    if (nested := take_apart(name)) is not None:
        return _nested_arrow_type(nested)
    from udfvm.types.array_conversions import flat_type

    return flat_type(name)


def _nested_arrow_type(nested: Nested) -> pa.DataType:
    import pyarrow as pa

    fields = [
        pa.field(field.name, arrow_type(field.type), field.nullable) for field in nested.fields
    ]
    if nested.container == "struct":
        return pa.struct(fields)
    if nested.container == "map":
        return pa.map_(*fields, keys_sorted=nested.keys_sorted)
    if nested.mode is not None:
        return pa.union(fields, nested.mode, list(nested.codes))
    if nested.size is not None:
        return pa.list_(fields[0], nested.size)
    return pa.large_list(fields[0]) if nested.container == "large_list" else pa.list_(fields[0])
