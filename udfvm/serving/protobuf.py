"""Messages of protocol buffers, as they are on the wire (protobuf.dev/programming-guides/encoding).

Flight has few messages, with few fields. A library would copy the data of a batch once more, and
has no bound for the fields of a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_MAX_FIELDS: Final = 1000  # of a message: each costs time
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED_64: 8, _FIXED_32: 4}


def fields_of(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields the fields of a message: the number of each, and its value, a number or bytes. Raises
    ValueError for what is no message.

    >>> [(number, bytes(value)) for number, value in fields_of(memoryview(field(3, b"score")))]
    [(3, b'score')]
    """
    offset = count = 0
    while offset < len(message):
        count += 1
        if count > _MAX_FIELDS:
            raise ValueError(f"it has more than {_MAX_FIELDS} fields")
        key, offset = _varint(message, offset)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, offset = _varint(message, offset)
            yield number, value
            continue
        if kind == _BYTES:
            length, offset = _varint(message, offset)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"a field of it has the unknown type {kind}")
        if length > len(message) - offset:
            raise ValueError("it is cut short")
        yield number, message[offset : offset + length]
        offset += length


def bytes_of(message: memoryview, number: int) -> memoryview:
    """Returns the bytes of a field: the last ones, if there are several, and none, if there is no
    such field. Raises ValueError for what is no message.
    """
    found = memoryview(b"")
    for each, value in fields_of(message):
        if each == number:
            found = as_bytes(value)
    return found


def as_bytes(value: int | memoryview) -> memoryview:
    """Returns the bytes of a field. Raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a field of it is a number")
    return value


def field(number: int, value: bytes | int) -> bytes:
    """Returns a field on the wire.

    >>> field(1, b"ab"), field(4, 300)
    (b'\\n\\x02ab', b' \\xac\\x02')
    """
    if isinstance(value, int):
        return _encoded(number << 3 | _VARINT) + _encoded(value)
    return head_of(number, len(value)) + value


def head_of(number: int, length: int) -> bytes:
    """Returns what comes before the bytes of a field."""
    return _encoded(number << 3 | _BYTES) + _encoded(length)


def _encoded(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _varint(message: memoryview, offset: int) -> tuple[int, int]:
    """Returns a number, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if offset >= len(message):
            raise ValueError("it is cut short")
        byte = message[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, offset
    raise ValueError("a number of it is too long")
