"""Messages of Arrow IPC: how they are framed, and what the metadata of a record batch say (schema:
Message.fbs of Apache Arrow).
"""

from __future__ import annotations

import struct

from udfvm.codec.flatbuffers import Table
from udfvm.static_typing import Final
from udfvm.tuples import NamedTuple

PREFIX: Final = struct.Struct("<II")  # CONTINUATION, and bytes of the metadata that follow
CONTINUATION: Final = 0xFFFFFFFF
END_OF_STREAM: Final = PREFIX.pack(CONTINUATION, 0)

SCHEMA: Final = 1  # MessageHeader.Schema
DICTIONARY_BATCH: Final = 2  # MessageHeader.DictionaryBatch
RECORD_BATCH: Final = 3  # MessageHeader.RecordBatch
_MAX_METADATA: Final = 1 << 20  # bytes: 48 for each column in a column


class BatchMetadata(NamedTuple):
    """What the metadata of a record batch say of its columns."""

    rows: int
    nodes: list[tuple[int, int]]  # rows and nulls of each column
    buffers: list[tuple[int, int]]  # offset in the body, and length, of each buffer


def batch_at(stream: bytes | memoryview, offset: int) -> tuple[BatchMetadata, int]:
    """Returns the metadata of the record batch message at an offset of a stream, and the offset of
    its body. Raises ValueError or struct.error for anything else.
    """
    continuation, length = PREFIX.unpack_from(stream, offset)
    offset += PREFIX.size
    if continuation != CONTINUATION or not 0 < length <= _MAX_METADATA:
        raise ValueError("no record batch follows the schema")
    body = offset + length
    return batch_metadata(bytes(stream[offset:body])), body


def kind_of(metadata: bytes) -> int:
    """Returns the kind of a message: SCHEMA, DICTIONARY_BATCH, RECORD_BATCH, or one that is not
    known. Raises ValueError or struct.error for what is no message.
    """
    if len(metadata) > _MAX_METADATA:
        raise ValueError("its metadata is too long")
    return Table.root(metadata).byte(1)


def batch_metadata(metadata: bytes) -> BatchMetadata:
    """Returns what the metadata of a record batch message say. Raises ValueError or struct.error
    for anything else.
    """
    message = Table.root(metadata)
    if message.byte(1) != RECORD_BATCH:
        raise ValueError("no record batch follows the schema")
    batch = message.table(2)
    if batch.has(3):
        raise ValueError("its body is compressed")
    return BatchMetadata(batch.long(0), batch.pairs(1), batch.pairs(2))


def view_counts(metadata: bytes) -> tuple[int, ...]:
    """Returns for each column of views how many buffers of data it has. Raises ValueError or
    struct.error for what is no record batch message.
    """
    return Table.root(metadata).table(2).longs(4)


class BatchTemplate(NamedTuple):
    """The head of a stream, its schema message and the metadata of a record batch without nulls, in
    which numbers can be put. The fields are offsets of these in the head.
    """

    head: bytes
    rows: int
    body_length: int
    nodes: int
    buffers: int

    @classmethod
    def of(cls, schema_message: bytes, batch_message: bytes) -> BatchTemplate:
        """Returns the head of these messages."""
        start = len(schema_message) + PREFIX.size
        end = PREFIX.size + PREFIX.unpack_from(batch_message)[1]
        message = Table.root(batch_message[PREFIX.size : end])
        batch = message.table(2)
        return cls(
            schema_message + batch_message[:end],
            start + batch.offset_of(0),
            start + message.offset_of(3),
            start + batch.target(1) + 4,
            start + batch.target(2) + 4,
        )

    @property
    def offset_of_data(self) -> int:
        """Where the head says at which offset of the body the data of the first column are."""
        return self.buffers + 16

    def filled(self, rows: int, body_length: int, data: list[tuple[int, int]]) -> bytes:
        """Returns the head for columns of so many rows, whose data have these offsets in the body,
        and lengths.
        """
        head = bytearray(self.head)
        struct.pack_into("<q", head, self.rows, rows)
        struct.pack_into("<q", head, self.body_length, body_length)
        for index, (offset, length) in enumerate(data):
            struct.pack_into("<qq", head, self.nodes + 16 * index, rows, 0)
            struct.pack_into("<qqqq", head, self.buffers + 32 * index, 0, 0, offset, length)
        return bytes(head)
