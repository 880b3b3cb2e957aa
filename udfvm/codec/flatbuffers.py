"""Tables of flatbuffers (flatbuffers.dev), in which Arrow writes the metadata of its messages.
Guests write them too: every access is checked against the bytes that there are.
"""

from __future__ import annotations

import struct


class Table:
    """A table at an offset of some bytes. Everything raises ValueError or struct.error for bytes
    that are none. Fields are known by their numbers in the schema.
    """

    __slots__ = ("_bytes", "_offset", "_slots")

    def __init__(self, data: bytes, offset: int) -> None:
        vtable = offset - int(_at("<i", data, offset)[0])
        size = _at("<H", data, vtable)[0]
        self._bytes = data
        self._offset = offset
        self._slots: tuple[int, ...] = _at(f"<{max(0, size - 4) // 2}H", data, vtable + 4)

    @classmethod
    def root(cls, data: bytes) -> Table:
        """Returns the table that some bytes begin with."""
        return cls(data, unsigned_at(data, 0))

    def has(self, field: int) -> bool:
        """Whether the field is there: fields with their default value are not."""
        return field < len(self._slots) and self._slots[field] != 0

    def byte(self, field: int) -> int:
        """Returns an unsigned byte; 0 where it is not there."""
        return int(_at("<B", self._bytes, self.offset_of(field))[0]) if self.has(field) else 0

    def long(self, field: int) -> int:
        """Returns a signed integer of 64 bits; 0 where it is not there."""
        return int(_at("<q", self._bytes, self.offset_of(field))[0]) if self.has(field) else 0

    def table(self, field: int) -> Table:
        """Returns the table that the field refers to."""
        return Table(self._bytes, self.target(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Returns a vector of structs of two signed integers of 64 bits."""
        if not self.has(field):
            return []
        offset = self.target(field)
        count = unsigned_at(self._bytes, offset)
        if count > len(self._bytes) // 16:
            raise ValueError("its metadata is cut short")
        numbers = _at(f"<{2 * count}q", self._bytes, offset + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def offset_of(self, field: int) -> int:
        """Returns the offset of the field in the bytes."""
        if not self.has(field):
            raise ValueError("its metadata lacks a field")
        return self._offset + self._slots[field]

    def target(self, field: int) -> int:
        """Returns the offset in the bytes that the field refers to."""
        offset = self.offset_of(field)
        return offset + unsigned_at(self._bytes, offset)


def unsigned_at(data: bytes, offset: int) -> int:
    """Returns an unsigned 32-bit integer. Raises ValueError or struct.error beyond the bytes."""
    return _at("<I", data, offset)[0]


def _at(format_: str, data: bytes, offset: int) -> tuple[int, ...]:
    if offset < 0:
        raise ValueError("its metadata points before its beginning")
    return struct.unpack_from(format_, data, offset)
