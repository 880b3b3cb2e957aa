"""The types of column batches (``struct udfvm_columns``): five, and how arrays of all other types
travel as these. Integers, dates and times are int64, float32 is double, and lists and structs are
JSON text, which is made elsewhere.

The build copies this beside ``conversions``, so it imports nothing else of udfvm, and pyarrow only
where arrays are converted.
"""

from __future__ import annotations

from typing import Any, Final

from udfvm.types.array_conversions import convert
from udfvm.types.conversions import family

_COLUMN_TYPES: Final = {
    "bool": "bool",
    "float": "double",
    "text": "large_string",
    "list": "large_string",
    "struct": "large_string",
    "bytes": "large_binary",
}
_INTEGERS: Final = "int64"  # of all other families
_INTERMEDIATE: Final = {"date32[day]": "int32"}  # Arrow has no cast between it and int64


def column_type(name: str) -> str:
    """The name of the type that stands for a declared type in column batches.

    >>> column_type("timestamp[ms]"), column_type("string")
    ('int64', 'large_string')
    """
    return _COLUMN_TYPES.get(family(name), _INTEGERS)


def cast_column(column: Any, to: Any) -> Any:
    """A pyarrow array of a declared type as its column type, or the other way round, where neither
    is a list or struct. Raises Loss, or pyarrow.ArrowInvalid, for a value that the type has not.
    """
    import pyarrow as pa

    between = _INTERMEDIATE.get(str(to)) or _INTERMEDIATE.get(str(column.type))
    if between is not None and column.type != to:
        column = column.cast(pa.type_for_alias(between))
    is_number = pa.types.is_integer(to) or pa.types.is_floating(to)
    if is_number and not pa.types.is_temporal(column.type):
        return convert(column, to)
    return column.cast(to)
