"""Names that types have in the text of a signature, beside pyarrow's. Compiled code and functions
in a database share them: the build makes the extension's table of this one. Imports nothing: the
build runs it.
"""

from __future__ import annotations

from typing import Final

# To pyarrow's names.
SHORT_NAMES: Final = {
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "f32": "float",
    "float32": "float",
    "f64": "double",
    "float64": "double",
    "float": "double",
    "real": "double",
    "int": "int64",
    "integer": "int64",
    "bigint": "int64",
    "text": "string",
    "str": "string",
    "blob": "binary",
    "bytes": "binary",
    "boolean": "bool",
}
