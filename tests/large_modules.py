"""WebAssembly that is large enough to be compiled once, and what the cache keeps of it."""

from __future__ import annotations

import hashlib
from pathlib import Path


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + leb(rest) if rest else bytes([low])


def large_module(functions: int) -> bytes:
    """Each function mixes its argument some times, and calls the one before it; each hundredth
    calls none. The last is f, g before it.
    """

    def section(number: int, content: bytes) -> bytes:
        return bytes([number]) + leb(len(content)) + content

    bodies = []
    for index in range(functions):
        mixing = b"".join(
            b"\x42"
            + leb((index * 61 + step) % 63)
            + b"\x7e\x42"
            + leb(step + 3)
            + b"\x88\x20\x00\x85"
            for step in range(10)
        )
        call = b"\x10" + leb(index - 1) if index % 100 else b""
        body = b"\x00\x20\x00" + mixing + call + b"\x0b"
        bodies.append(leb(len(body)) + body)
    exports = b"\x02\x01f\x00" + leb(functions - 1) + b"\x01g\x00" + leb(functions - 2)
    return b"".join(
        (
            b"\0asm\1\0\0\0",
            section(1, b"\x01\x60\x01\x7e\x01\x7e"),
            section(3, leb(functions) + bytes(functions)),
            section(7, exports),
            section(10, leb(functions) + b"".join(bodies)),
        )
    )


def mixed(index: int, argument: int) -> int:
    """What that function of ``large_module`` returns."""
    value = argument
    for step in range(10):
        value = (value * ((index * 61 + step) % 63) % 2**64 >> (step + 3)) ^ argument
    return mixed(index - 1, value) if index % 100 else value


def digest_of(kept: Path) -> bytes:
    """What stands before a reply that is kept: of its name and content."""
    return hashlib.sha256(kept.name.encode() + b"\0" + kept.read_bytes()[32:]).digest()
