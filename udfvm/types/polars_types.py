"""What polars takes of Arrow, and what it hands over.

The build copies this module into the guest, so it imports nothing else of udfvm but modules that it
copies, too, and pyarrow only where arrays are converted. Polars itself is loaded where there is a
Series.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from udfvm.types.array_conversions import convert
from udfvm.types.nested_conversions import with_fields

#: How an error goes on that names the type of a Series of which ``is_broken`` is true.
BROKEN: Final = (
    ", which polars cannot hand over: it panics. It does so at decimals in lists and structs that"
    " it read as decimal32 or decimal64 of Arrow, and has wrong values of them: cast to decimal128"
    " before"
)


def is_lacking(type_: Any) -> bool:
    """Returns True for types that polars cannot read, at some of which it ends with a panic.

    >>> import pyarrow as pa
    >>> is_lacking(pa.list_(pa.decimal256(50, 2))), is_lacking(pa.decimal128(38, 2))
    (True, False)
    """
    import pyarrow as pa

    if (
        pa.types.is_union(type_)
        or pa.types.is_interval(type_)
        or pa.types.is_decimal256(type_)
        or (pa.types.is_fixed_size_list(type_) and type_.list_size == 0)
    ):
        return True
    return any(is_lacking(type_.field(index).type) for index in range(type_.num_fields))


def is_broken(series: Any) -> bool:
    """Returns True if polars would end the process where it hands a series over by the PyCapsule
    interface: there it panics in a callback. It does so elsewhere, too, where that raises an
    exception.
    """
    polars: Any = sys.modules["polars"]
    if not series.dtype.is_nested():
        return False
    try:
        for chunk in series.get_chunks():
            chunk.limit(0).to_arrow()
    except polars.exceptions.PanicException:
        return True
    return False


def for_polars(array: Any, *, in_days: bool = False) -> Any:
    """Returns an array as polars has its values. Decimals of 32 and 64 bits in what it holds are
    wider: polars reads those as if they had 128, beyond their memory, and ends the process where it
    hands them over. With ``in_days``, dates of milliseconds are dates of days: polars reads
    moments.

    >>> import pyarrow as pa
    >>> for_polars(pa.array([], pa.list_(pa.decimal32(5, 2)))).type
    ListType(list<item: decimal128(5, 2)>)
    """
    name = str(array.type)
    if not ("decimal32" in name or "decimal64" in name or (in_days and "date64" in name)):
        return array
    wide = _wide(array.type, in_days)
    return array if wide == array.type else convert(array, wide)


def _wide(type_: Any, in_days: bool) -> Any:
    """Returns a type with those that polars has right in place of others, and without encodings
    around them.
    """
    import pyarrow as pa

    if isinstance(type_, pa.BaseExtensionType):
        return _wide(type_.storage_type, in_days)
    if pa.types.is_dictionary(type_):
        return _wide(type_.value_type, in_days)
    if pa.types.is_decimal32(type_) or pa.types.is_decimal64(type_):
        return pa.decimal128(type_.precision, type_.scale)
    if in_days and pa.types.is_date64(type_):
        return pa.date32()
    if not type_.num_fields:
        return type_
    fields = [type_.field(index) for index in range(type_.num_fields)]
    return with_fields(type_, [field.with_type(_wide(field.type, in_days)) for field in fields])
