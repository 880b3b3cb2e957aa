"""Files with compiled code."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from udfvm.errors import SignatureError

MAX_CODE: Final = 48 << 20  # bytes of code: it is sent through the input window


def read_code(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a regular file.

    Raises SignatureError for any other file, since reading it may never end, and OSError if this
    user cannot read it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SignatureError(
                f"{Path(path)} is not a regular file, so it cannot be loaded as code"
            )
        with open(descriptor, "rb", closefd=False) as file:
            code = file.read(MAX_CODE + 1)
        if len(code) > MAX_CODE:
            raise SignatureError(
                f"{Path(path)} has {status.st_size} bytes, more than {MAX_CODE}: strip it"
            )
        return code
    finally:
        os.close(descriptor)
