"""The batches that clients send: columns over their bytes, each checked as the reply of a guest is
(``udfvm.codec.reply_columns``).
"""

from __future__ import annotations

import struct
from typing import Final

import pyarrow as pa

from udfvm.codec.messages import (
    DICTIONARY_BATCH,
    RECORD_BATCH,
    batch_metadata,
    kind_of,
    view_counts,
)
from udfvm.codec.reply_columns import columns_of_batch
from udfvm.serving.messages import FlightData
from udfvm.serving.schemas import schema_types
from udfvm.serving.statuses import RefusedError
from udfvm.tuples import NamedTuple

_ALIGNMENT: Final = 8  # bytes
#: What reading raises for bytes that are not what they should be.
NOT_VALID: Final = (ValueError, struct.error, pa.ArrowException)


class Batch(NamedTuple):
    """Columns of so many rows."""

    columns: list[pa.Array]
    rows: int


def types_in(data: FlightData) -> list[pa.DataType]:
    """Returns the types of the columns that a client is going to send. Raises RefusedError."""
    try:
        kind_of(header := bytes(data.header))
        return schema_types(header)
    except NOT_VALID as error:
        raise _refused("schema", error) from None


def batch_in(data: FlightData, types: list[pa.DataType], max_rows: int, max_batch: int) -> Batch:
    """Returns the batch in a message. Raises RefusedError."""
    try:
        header = bytes(data.header)
        kind = kind_of(header)
        if kind == DICTIONARY_BATCH:
            raise ValueError("it is a dictionary")
        if kind != RECORD_BATCH:
            raise ValueError(f"it is a message of another kind ({kind})")
        metadata = batch_metadata(header)
        if not 0 <= metadata.rows <= max_rows:
            raise RefusedError(
                "RESOURCE_EXHAUSTED",
                f"the batch has {metadata.rows} rows, and at most {max_rows} are allowed: send more"
                " batches",
            )
        body = pa.py_buffer(data.body)
        if body.address % _ALIGNMENT:
            body = _aligned(body)
        counts = view_counts(header)
        return Batch(columns_of_batch(types, metadata, body, counts, max_batch), metadata.rows)
    except NOT_VALID as error:
        raise _refused("batch", error) from None


def _aligned(body: pa.Buffer) -> pa.Buffer:
    """Returns a copy in memory of Arrow's, which is aligned, and not new from the system each
    time.
    """
    made = pa.allocate_buffer(body.size)
    pa.FixedSizeBufferWriter(made).write(body)
    return made


def _refused(what: str, error: Exception) -> RefusedError:
    return RefusedError("INVALID_ARGUMENT", f"the {what} is not valid: {error}")
