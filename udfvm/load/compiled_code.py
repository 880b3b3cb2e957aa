"""Files with compiled code."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from udfvm.errors import CodeFileError, CodeFileNotFoundError, SignatureError
from udfvm.texts import format_size

MAX_CODE: Final = 48 << 20  # bytes of code: it is sent through the input window


def read_code(udf: str, path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a regular file.

    Raises SignatureError for any other file, since reading it may never end, and CodeFileError if
    this user cannot read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise unreadable(udf, path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SignatureError(
                f"UDF {udf!r}: {Path(path)} is not a regular file, so it cannot be loaded as code"
            )
        with open(descriptor, "rb", closefd=False) as file:
            code = file.read(MAX_CODE + 1)
        if len(code) > MAX_CODE:
            raise SignatureError(
                f"UDF {udf!r}: {Path(path)} has {format_size(status.st_size)}, more than"
                f" {format_size(MAX_CODE)}: strip it"
            )
        return code
    except OSError as error:
        raise unreadable(udf, path, error) from error
    finally:
        os.close(descriptor)


def unreadable(udf: str, path: str | os.PathLike[str], error: OSError) -> CodeFileError:
    """Returns the error for a file, or folder, of code that cannot be read."""
    cls = CodeFileNotFoundError if isinstance(error, FileNotFoundError) else CodeFileError
    made = cls(f"UDF {udf!r}: {os.fspath(path)} cannot be read: {error.strerror}")
    made.errno, made.filename = error.errno, path
    return made
