"""The layout of rows: ``struct udfvm_row`` and ``struct udfvm_value`` of
guest/include/udfvm_abi.h.

The build copies this for guests, so it imports nothing of udfvm.
"""

from __future__ import annotations

import struct
from typing import Final

ROW: Final = struct.Struct("<II")  # number of values, zero; the values follow, then texts and bytes
VALUE: Final = struct.Struct("<IIQ")  # type; length and offset of text and bytes
INTEGER: Final = struct.Struct("<IIq")  # a value that is an integer
REAL: Final = struct.Struct("<IId")  # a value that is a float
