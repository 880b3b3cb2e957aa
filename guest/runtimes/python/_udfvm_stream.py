"""Arrow IPC streams in the windows: one record batch in, one column out, and the conversions
between their types.
"""

from __future__ import annotations

from typing import Final, Protocol, Self

import _udfvm_agent
import pyarrow as pa
import pyarrow.ipc
from _udfvm_agent import STATUS_OK
from _udfvm_array_conversions import convert
from _udfvm_conversions import Loss, Refused
from _udfvm_nested import type_name
from _udfvm_nested_conversions import difference
from _udfvm_value_types import in_pyarrow, storage_of

END_OF_STREAM: Final = 8  # bytes


class Formats(Protocol):
    """Messages that the host made: schemas, with which streams begin, and a record batch message of
    a result of one row.
    """

    @property
    def schema(self) -> bytes: ...
    @property
    def result_schema(self) -> bytes: ...
    @property
    def template(self) -> bytes: ...


class Stream:
    """Reads batches of one schema and writes columns of one type. ``native`` does the same in C; it
    is None where a column goes through pyarrow.
    """

    @classmethod
    def of(cls, formats: Formats) -> Self:
        """Returns the stream of a function."""
        schema, result = (
            pa.ipc.read_schema(pa.py_buffer(message))
            for message in (formats.schema, formats.result_schema)
        )
        flat = not any(in_pyarrow(type_name(type_)) for type_ in (*schema.types, result.types[0]))
        native = (
            _udfvm_agent.Stream(formats.schema, formats.result_schema, formats.template)
            if flat
            else None
        )
        return cls(native, schema, result)

    def __init__(
        self, native: _udfvm_agent.Stream | None, schema: pa.Schema, result: pa.Schema
    ) -> None:
        self.native = native
        self.schema = schema
        self.type = result.field(0).type
        self.storage = storage_of(type_name(self.type))
        self._prefix = schema.serialize().to_pybytes()
        self._result_schema = result
        self._overhead = len(result.serialize()) + END_OF_STREAM

    def read_window(self, length: int) -> pa.RecordBatch:
        """Reads the batch in the input window. Its columns are views of the window."""
        return self.read(pa.py_buffer(_udfvm_agent.input()[:length]))

    def read(self, stream: pa.Buffer) -> pa.RecordBatch:
        """Reads the batch in a stream without a copy."""
        prefix = len(self._prefix)
        if not stream.slice(0, prefix).equals(pa.py_buffer(self._prefix)):
            raise ValueError("the batch does not have the schema that the function was loaded with")
        return pa.ipc.read_record_batch(stream.slice(prefix), self.schema)

    def write(self, column: pa.Array) -> tuple[int, int]:
        """Writes the stream of a result to the output window. Returns status and length.

        A stream that is larger than the host allows is not written; its length says so.
        """
        if column.offset or self.native is None:
            return self._write_any(column)
        buffers = column.buffers()
        offsets = buffers[1] if len(buffers) == 3 else None
        data = buffers[-1] if len(buffers) > 1 else None
        return STATUS_OK, self.native.write(
            self.storage, len(column), column.null_count, buffers[0], offsets, data
        )

    def _write_any(self, column: pa.Array) -> tuple[int, int]:
        """Writes with pyarrow, which moves the buffers of a slice to their beginnings, and lays out
        lists and structs.
        """
        batch = pa.RecordBatch.from_arrays([column], schema=self._result_schema)
        window = _udfvm_agent.output()
        length = self._overhead + pa.ipc.get_record_batch_size(batch)
        if length > len(window):
            return STATUS_OK, length
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        self._put(sink, batch)
        return STATUS_OK, sink.tell()

    def packed(self, column: pa.Array) -> pa.Buffer:
        """Returns the stream of a result."""
        sink = pa.BufferOutputStream()
        self._put(sink, pa.RecordBatch.from_arrays([column], schema=self._result_schema))
        return sink.getvalue()

    def _put(self, sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
        with pa.ipc.new_stream(sink, self._result_schema) as writer:
            writer.write_batch(batch)


def strict_cast(array: pa.Array, declared: pa.DataType) -> pa.Array:
    """Casts the array to the declared type without loss."""
    try:
        return convert(array, declared)
    except Refused:
        raise TypeError(
            f"the function returned an array of {array.type}, but its result is declared"
            f" {declared}{difference(array.type, declared)}"
        ) from None
    except Loss as loss:
        class_ = (
            OverflowError
            if pa.types.is_integer(declared) or pa.types.is_floating(declared)
            else ValueError
        )
        found = (
            f"the function returned an array of {array.type}, but its result is declared {declared}"
        )
        raise class_(f"{found}: row {loss.row} is {loss}") from None
