"""Text of a guest, made fit to be shown: what it says of its errors, what it printed.

A guest says what it pleases: gigabytes, terminal escapes, NULs. Nothing of it reaches an error
message or a terminal but through here (in C: ``udfvm_visible_text``, which this calls, so that the
same text reads the same in Python and in SQL).
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 64 << 10  # bytes of a text, in UTF-8
LINES: Final = "\n\t"


def visible(
    text: bytes | bytearray | memoryview | str, most: int = LONGEST, keep: str = LINES
) -> str:
    """The text with control characters, marks of direction and line separators written out, but for
    the ASCII ones in ``keep``.

    Bytes that are no UTF-8 become U+FFFD. Of what is longer than ``most`` bytes the head and the
    tail are kept, with a mark between.

    >>> visible(b"\\x1b[31mred\\x00")
    '\\\\x1b[31mred\\\\x00'
    >>> visible("two\\nlines", keep="")
    'two\\\\x0alines'
    """
    from udfvm.vmm._core import ffi, lib

    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    room = min(most, 6 * len(data)) + 1  # no character's visible form is longer than that
    out = ffi.new("char[]", room)
    length = lib.udfvm_visible_text(ffi.from_buffer(data), len(data), keep.encode(), out, room)
    return bytes(ffi.buffer(out, length)).decode()
