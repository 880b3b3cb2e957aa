"""Types by the names that pyarrow prints, and how Arrow stores them."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import _udfvm_agent

STORAGES: Final = {
    "bool": _udfvm_agent.STORAGE_BOOL,
    "int8": _udfvm_agent.STORAGE_INT8,
    "int16": _udfvm_agent.STORAGE_INT16,
    "int32": _udfvm_agent.STORAGE_INT32,
    "int64": _udfvm_agent.STORAGE_INT64,
    "uint8": _udfvm_agent.STORAGE_UINT8,
    "uint16": _udfvm_agent.STORAGE_UINT16,
    "uint32": _udfvm_agent.STORAGE_UINT32,
    "uint64": _udfvm_agent.STORAGE_UINT64,
    "float": _udfvm_agent.STORAGE_FLOAT32,
    "double": _udfvm_agent.STORAGE_FLOAT64,
    "string": _udfvm_agent.STORAGE_TEXT32,
    "large_string": _udfvm_agent.STORAGE_TEXT64,
    "binary": _udfvm_agent.STORAGE_BYTES32,
    "large_binary": _udfvm_agent.STORAGE_BYTES64,
    "null": _udfvm_agent.STORAGE_NULL,
    "json": _udfvm_agent.STORAGE_TEXT32,
    "date32[day]": _udfvm_agent.STORAGE_INT32,
    "date64[ms]": _udfvm_agent.STORAGE_INT64,
}

# Microseconds of each unit of time. Nanoseconds are missing: they are less than one.
MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}

_TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")


def is_nested(name: str) -> bool:
    """Returns True for lists and structs."""
    return "<" in name


def storage_of(name: str) -> int:
    """Returns how Arrow stores a type; for lists and structs, how it stores their JSON in rows."""
    if is_nested(name):
        return STORAGES["json"]
    return STORAGES["int64"] if name.startswith("timestamp") else STORAGES[name]


def timestamp_parts(name: str) -> tuple[str, str | None] | None:
    """Returns unit and time zone of a timestamp; None for other types."""
    match = _TIMESTAMP.fullmatch(name)
    return (match[1], match[2]) if match else None


def python_bool(value: Any) -> Any:
    """Returns numpy's bool, which is not a number, as Python's, which is."""
    numpy = sys.modules.get("numpy")
    return bool(value) if numpy is not None and isinstance(value, numpy.bool_) else value
