"""User files: placed in memory, under the names that they have on the host."""

from __future__ import annotations

import base64
import ctypes
import io
import os
import zipfile
from pathlib import Path


def unpack(text: str) -> None:
    """Writes the files of a zip archive, in base64. Names in the archive are the host's absolute
    names.
    """
    mount = ctypes.CDLL(None, use_errno=True).mount
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(text))) as archive:
        for name in archive.namelist():
            path = Path(f"/{name}")  # names in archives have no leading slash
            there = path.parent.is_dir() and os.access(path.parent, os.W_OK)
            if not there and mount(b"tmpfs", os.fsencode(path.parent), b"tmpfs", 0, None) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path.parent))
            if not path.exists():
                path.write_bytes(archive.read(name))
