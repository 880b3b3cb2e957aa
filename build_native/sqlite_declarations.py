"""Generates ``udfvm.sqlite._declarations``: what cffi needs to know of the SQLite extension, which
the package opens with ``dlopen`` (ABI mode).

The declarations come from the headers themselves, so the two cannot drift apart.

Usage: sqlite_declarations.py api.h extension.h target
"""

from __future__ import annotations

import sys
from pathlib import Path

import cffi

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from build_native.binding import without_preprocessor


def declarations(api: str, extension: str) -> str:
    """Returns the C declarations, from the texts of the two headers."""
    return without_preprocessor(api + extension).replace("UDFVM_SQLITE_EXPORT ", "")


def main(api: str, extension: str, target: str) -> None:
    builder = cffi.FFI()
    builder.cdef(declarations(Path(api).read_text(), Path(extension).read_text()))
    builder.set_source("udfvm.sqlite._declarations", None)
    builder.emit_python_code(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
