"""Arrays as polars takes them.

The build copies this module into the guest, so it imports nothing else of udfvm but modules that it
copies, too, and pyarrow only where arrays are converted.
"""

from __future__ import annotations

from typing import Any

from udfvm.types.array_conversions import convert
from udfvm.types.nested_conversions import with_fields


def for_polars(array: Any) -> Any:
    """Returns an array without decimals of 32 and 64 bits in what it holds: polars reads those as
    if they had 128, beyond their memory, and ends the process where it hands them over.

    >>> import pyarrow as pa
    >>> for_polars(pa.array([], pa.list_(pa.decimal32(5, 2)))).type
    ListType(list<item: decimal128(5, 2)>)
    """
    type_ = array.type
    name = str(type_)
    if not ("decimal32" in name or "decimal64" in name):
        return array
    wide = _wide(type_)
    return array if wide.num_fields == 0 else convert(array, wide)


def _wide(type_: Any) -> Any:
    """Returns a type with decimals of 128 bits in place of those of fewer, and without encodings
    around them.
    """
    import pyarrow as pa

    if isinstance(type_, pa.BaseExtensionType):
        return _wide(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return _wide(type_.value_type)
    if pa.types.is_decimal32(type_) or pa.types.is_decimal64(type_):
        return pa.decimal128(type_.precision, type_.scale)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    return with_fields(type_, [field.with_type(_wide(field.type)) for field in fields])
