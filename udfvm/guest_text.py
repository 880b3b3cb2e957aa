"""Text of a guest, made fit to be shown: what it says of its errors, what it printed.

A guest says what it pleases: gigabytes, terminal escapes, NULs. Nothing of it reaches an error
message or a terminal but through here (in C: ``udfvm_visible_text``, which this calls, so that the
same text reads the same in Python and in SQL).
"""

from __future__ import annotations

from typing import Final

MAX_LENGTH: Final = 64 << 10  # bytes of a text, in UTF-8
LINES: Final = "\n\t"
_MAX_CHARACTER: Final = 6  # bytes of the visible form, for one byte


def visible(
    text: bytes | bytearray | memoryview | str, maximum: int = MAX_LENGTH, keep: str = LINES
) -> str:
    """The text with control characters, marks of direction and line separators written out, but for
    the ASCII ones in ``keep``.

    Bytes that are no UTF-8 become U+FFFD. Of what is longer than ``maximum`` bytes the head and the
    tail are kept, with a mark between.

    >>> visible(b"\\x1b[31mred\\x00")
    '\\\\x1b[31mred\\\\x00'
    >>> visible("two\\nlines", keep="")
    'two\\\\x0alines'
    """
    from udfvm.vmm._core import ffi, lib

    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    capacity = min(maximum, _MAX_CHARACTER * len(data)) + 1
    out = ffi.new("char[]", capacity)
    length = lib.udfvm_visible_text(ffi.from_buffer(data), len(data), keep.encode(), out, capacity)
    return bytes(ffi.buffer(out, length)).decode()


def shown(text: bytes) -> str:
    """What a guest printed: control characters but newlines and tabs are written out."""
    return visible(text.replace(b"\r\n", b"\n"), _MAX_CHARACTER * len(text) + 1)
