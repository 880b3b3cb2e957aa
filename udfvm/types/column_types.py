"""The types of column batches (``struct udfvm_columns``): five, and how arrays of all other types
travel as these. Integers, dates, timestamps and durations are int64, narrower floats are double,
times of day, intervals and decimals are text, and lists and structs are JSON text, which is made
elsewhere.

``column_casts`` converts arrays. The build copies both beside ``conversions``, so they import
nothing else of udfvm.
"""

from __future__ import annotations

import functools

from udfvm.static_typing import Final
from udfvm.types.conversions import family

_COLUMN_TYPES: Final = {
    "bool": "bool",
    "float": "double",
    "text": "large_string",
    "list": "large_string",
    "struct": "large_string",
    "map": "large_string",
    "union": "large_string",
    "bytes": "large_binary",
    "time of day": "large_string",
    "interval": "large_string",
    "decimal": "large_string",
}
_INTEGERS: Final = "int64"  # of all other families
# The families that are never streams; a new one is, unless it is added here.
_NO_STREAMS: Final = frozenset(
    {
        "bool",
        "integer",
        "float",
        "text",
        "bytes",
        "date",
        "time",
        "time with a zone",
        "time of day",
        "duration",
        "interval",
        "decimal",
    }
)
_BEYOND_INT64: Final = "uint64"


def column_type(name: str) -> str:
    """Returns the name of the type that stands for a declared type in column batches.

    >>> column_type("timestamp[ms]"), column_type("string")
    ('int64', 'large_string')
    """
    return _COLUMN_TYPES.get(family(name), _INTEGERS)


@functools.cache
def is_stream(name: str) -> bool:
    """Returns True for types that a host may send and get as Arrow streams in column batches: lists
    and structs, which are JSON otherwise, and all that have no column type.

    >>> is_stream("list<item: int64>"), is_stream("uint64"), is_stream("string")
    (True, True, False)
    """
    return name == _BEYOND_INT64 or family(name) not in _NO_STREAMS
