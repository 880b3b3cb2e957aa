"""Batches that do not fit the input window."""

from __future__ import annotations


class TooLargeForWindowError(Exception):
    """A batch must be cut into chunks: its ``size`` in bytes is past the window's ``capacity``."""

    def __init__(self, size: int, capacity: int) -> None:
        super().__init__(size, capacity)
        self.size = size
        self.capacity = capacity
        self.parts = size // capacity + 1
