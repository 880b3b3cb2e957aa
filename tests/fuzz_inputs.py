"""The input of a fuzzer in Python, taken apart from its start."""

from __future__ import annotations

import contextlib
import struct

import pyarrow as pa
from hostile_mutations import NUMBERS


class Input:
    """What is left of an input. Past its end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def bytes(self, length: int) -> bytes:
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken

    def byte(self) -> int:
        return int.from_bytes(self.bytes(1), "little")

    def word(self) -> int:
        return int.from_bytes(self.bytes(8), "little")

    def number(self) -> int:
        """A number that checks of bounds care about, or any."""
        which = self.byte()
        return NUMBERS[which] if which < len(NUMBERS) else self.word()

    def changed(self, honest: bytes) -> bytes:
        """An honest message with what is left of the input changed in it."""
        message = bytearray(honest)
        while self.rest and len(message) > 8:
            how, where = self.byte(), int.from_bytes(self.bytes(2), "little")
            offset = where % (len(message) - 8)
            match how % 6:
                case 0:
                    message[offset] = self.byte()
                case 1:
                    struct.pack_into("<I", message, offset & ~3, self.number() & 0xFFFFFFFF)
                case 2:
                    struct.pack_into("<Q", message, offset & ~7, self.number())
                case 3:
                    struct.pack_into("<Q", message, offset & ~7, max(0, len(message) - how // 6))
                case 4:
                    del message[offset:]
                case _:
                    new = self.bytes(self.byte())
                    message[offset : offset + len(new)] = new
        return bytes(message)


def use(array: pa.Array) -> None:
    """What a result must withstand. Values may be such as Python does not have."""
    array.validate(full=True)
    with contextlib.suppress(OverflowError, ValueError):
        array.to_pylist()
    with contextlib.suppress(pa.ArrowNotImplementedError):
        array.take(pa.array(range(len(array))[::-1], pa.int64())).validate(full=True)
    array.slice(1).validate(full=True)
