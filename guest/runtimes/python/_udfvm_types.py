"""Types by the names that pyarrow prints for them, and how Arrow stores them."""

from __future__ import annotations

import re
from typing import Final

# enum storage of common/storage.h
STORAGES: Final = {
    "bool": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "uint8": 5,
    "uint16": 6,
    "uint32": 7,
    "uint64": 8,
    "float": 9,
    "double": 10,
    "string": 11,
    "large_string": 12,
    "binary": 13,
    "large_binary": 14,
    "null": 15,
    "json": 11,
    "date32[day]": 3,
    "date64[ms]": 4,
}

_TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")


def is_nested(name: str) -> bool:
    """Whether a type holds others: a list or struct."""
    return "<" in name


def storage_of(name: str) -> int:
    """How Arrow stores a type; of lists and structs, how it stores the JSON that stands for them in
    rows.
    """
    if is_nested(name):
        return STORAGES["json"]
    return STORAGES["int64"] if name.startswith("timestamp") else STORAGES[name]


def timestamp_parts(name: str) -> tuple[str, str | None] | None:
    """Unit and time zone of a timestamp; None for another type."""
    match = _TIMESTAMP.fullmatch(name)
    return (match[1], match[2]) if match else None
