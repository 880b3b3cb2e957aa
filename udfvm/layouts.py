"""Structures of guest/include/udfvm_abi.h that Python packs and unpacks.

The build copies this for guests, so it imports nothing of udfvm.
"""

from __future__ import annotations

import struct

from udfvm.static_typing import Final

ROW: Final = struct.Struct("<II")  # number of values, zero; the values follow, then texts and bytes
VALUE: Final = struct.Struct("<IIQ")  # type; length and offset of text and bytes
INTEGER: Final = struct.Struct("<IIq")  # a value that is an integer
REAL: Final = struct.Struct("<IId")  # a value that is a float
COLUMNS: Final = struct.Struct("<QII")  # rows; number of columns, which follow; flags
COLUMN: Final = struct.Struct("<IIQQQQ")  # type, zero; offsets of the buffers; bytes of the data
FETCH: Final = struct.Struct("<QQ")  # the most rows of the reply; flags; columns follow
AGGREGATE: Final = struct.Struct("<QII")  # group; what it is asked for; flags; columns follow
# Bytes of type, message and traceback, which follow; signal; argument; row.
GUEST_ERROR: Final = struct.Struct("<IIIHHq")
