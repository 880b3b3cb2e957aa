"""Guest text made fit to be shown: messages of its errors, and what it printed.

A guest may send anything: gigabytes, terminal escapes, NULs. All guest text in error messages or on
a terminal passes through here (in C: ``udfvm_visible_text``, which this calls, so that the same
text reads the same in Python and in SQL).
"""

from __future__ import annotations

from udfvm.static_typing import Final

MAX_LENGTH: Final = 64 << 10  # bytes of a text, in UTF-8
LINES: Final = "\n\t"
_MAX_CHARACTER: Final = 6  # bytes of the visible form, for one byte


def visible(
    text: bytes | bytearray | memoryview | str, maximum: int = MAX_LENGTH, keep: str = LINES
) -> str:
    """Returns text with control characters, direction marks and line separators written out.

    ``keep`` lists ASCII characters that stay. Bytes that are not UTF-8 become U+FFFD. Text longer
    than ``maximum`` bytes is cut: its head and tail stay, with a mark between them.

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
    """Returns printed text with control characters written out, except newlines and tabs."""
    return visible(text.replace(b"\r\n", b"\n"), _MAX_CHARACTER * len(text) + 1)
