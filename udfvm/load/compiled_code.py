"""Files with compiled code."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from udfvm.errors import CodeFileError, CodeFileNotFoundError, SignatureError
from udfvm.texts import format_size

if TYPE_CHECKING:
    from udfvm.load.declaration import Language

MAX_CODE: Final = 48 << 20  # bytes of code: it is sent through the input window

# How code begins: its language, what it is, and what makes functions of it.
_KINDS: Final = (
    (b"\x7fELF", "native", "an ELF file", "udfvm.from_elf"),
    (b"\0asm", "wasm", "a WebAssembly module", "udfvm.from_wasm"),
)


def refuse_other_language(udf: str, code: bytes, language: Language) -> None:
    """Raises SignatureError for code that is of another language, by its first bytes."""
    for begin, of, what, maker in _KINDS:
        if code.startswith(begin) and of != language:
            raise SignatureError(f"UDF {udf!r}: this is {what}: pass it to {maker}")


def _of(udf: str | None) -> str:
    return "" if udf is None else f"UDF {udf!r}: "


def read_code(udf: str | None, path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a regular file. ``udf`` is None if they are of no UDF.

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
                f"{_of(udf)}{Path(path)} is not a regular file, so it cannot be loaded as code"
            )
        with open(descriptor, "rb", closefd=False) as file:
            code = file.read(MAX_CODE + 1)
        if len(code) > MAX_CODE:
            raise SignatureError(
                f"{_of(udf)}{Path(path)} has {format_size(status.st_size)}, more than"
                f" {format_size(MAX_CODE)}: strip it"
            )
        return code
    except OSError as error:
        raise unreadable(udf, path, error) from error
    finally:
        os.close(descriptor)


def unreadable(udf: str | None, path: str | os.PathLike[str], error: OSError) -> CodeFileError:
    """Returns the error for a file, or folder, of code that cannot be read."""
    cls = CodeFileNotFoundError if isinstance(error, FileNotFoundError) else CodeFileError
    made = cls(f"{_of(udf)}{os.fspath(path)} cannot be read: {error.strerror}")
    made.errno, made.filename = error.errno, path
    return made
