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

    def short(self, field: int, default: int = 0) -> int:
        """Returns a signed integer of 16 bits; the schema's default where it is not there."""
        return _at("<h", self._bytes, self.offset_of(field))[0] if self.has(field) else default

    def integer(self, field: int, default: int = 0) -> int:
        """Returns a signed integer of 32 bits; the schema's default where it is not there."""
        return _at("<i", self._bytes, self.offset_of(field))[0] if self.has(field) else default

    def text(self, field: int) -> str:
        """Returns a text; an empty one where it is not there."""
        if not self.has(field):
            return ""
        offset = self.target(field)
        length = unsigned_at(self._bytes, offset)
        if length > len(self._bytes) - offset - 4:
            raise ValueError("its metadata is cut short")
        return self._bytes[offset + 4 : offset + 4 + length].decode()

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

    def integers(self, field: int) -> tuple[int, ...]:
        """Returns a vector of signed integers of 32 bits."""
        offset, count = self._vector(field)
        return _at(f"<{count}i", self._bytes, offset)

    def longs(self, field: int) -> tuple[int, ...]:
        """Returns a vector of signed integers of 64 bits."""
        offset, count = self._vector(field)
        return _at(f"<{count}q", self._bytes, offset)

    def tables(self, field: int) -> list[Table]:
        """Returns a vector of tables. Several of them may be the same one, or the whole."""
        offset, count = self._vector(field)
        places = range(offset, offset + 4 * count, 4)
        return [Table(self._bytes, each + unsigned_at(self._bytes, each)) for each in places]

    def _vector(self, field: int) -> tuple[int, int]:
        """Returns the offset of the first item of a vector, whose items have 32 bits or more, and
        their count.
        """
        if not self.has(field):
            return 0, 0
        offset = self.target(field)
        count = unsigned_at(self._bytes, offset)
        if count > len(self._bytes) // 4:
            raise ValueError("its metadata is cut short")
        return offset + 4, count

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
