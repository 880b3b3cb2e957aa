"""Rows (struct udfvm_row and struct udfvm_value): their layout, and the types of their values."""

from __future__ import annotations

import struct
from typing import Final

import _udfvm_agent

ROW: Final = struct.Struct("<II")  # number of values
VALUE: Final = struct.Struct("<IIQ")  # type; length and offset of text and bytes
INTEGER: Final = struct.Struct("<IIq")
REAL: Final = struct.Struct("<IId")

TYPES: Final = {
    "bool": _udfvm_agent.TYPE_BOOL,
    "int64": _udfvm_agent.TYPE_INT64,
    "double": _udfvm_agent.TYPE_FLOAT64,
    "string": _udfvm_agent.TYPE_TEXT,
    "json": _udfvm_agent.TYPE_TEXT,
    "binary": _udfvm_agent.TYPE_BLOB,
}
