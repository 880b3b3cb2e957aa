"""Bounds of what a guest wrote: offsets and lengths in it are the guest's word too."""

from __future__ import annotations


def check_bounds(offset: int, length: int, size: int) -> None:
    """Raises ValueError where some bytes at an offset lie outside of a reply of so many bytes."""
    if not (0 <= offset <= size and 0 <= length <= size - offset):
        raise ValueError(f"{length} bytes at offset {offset} lie outside of the reply")


def bytes_in(reply: bytes, offset: int, length: int) -> bytes:
    """Returns so many bytes at an offset of a reply. Raises ValueError where they lie outside of
    it.
    """
    check_bounds(offset, length, len(reply))
    return reply[offset : offset + length]
