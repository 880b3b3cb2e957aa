"""Arrow IPC streams in the windows: one record batch in, one column out, and the types on the way."""

from __future__ import annotations

from typing import Final, Protocol, Self

import _udfvm_agent
import pyarrow as pa
import pyarrow.ipc
from _udfvm_types import is_nested, storage_of

INPUT_PAYLOAD: Final = 0x4000001000
STATUS_OK: Final = 0
END_OF_STREAM: Final = 8                         # bytes


class Formats(Protocol):
    """Messages that the host made: what streams begin with, and a record batch message of a result of one row."""

    @property
    def schema(self) -> bytes: ...
    @property
    def result_schema(self) -> bytes: ...
    @property
    def template(self) -> bytes: ...


class Stream:
    """Reads batches of one schema and writes columns of one type. ``native`` does the same in C; None for columns of lists or structs."""

    @classmethod
    def of(cls, formats: Formats) -> Self:
        """The streams of a function."""
        schema, result = (pa.ipc.read_schema(pa.py_buffer(message)) for message in (formats.schema, formats.result_schema))
        flat = not any(is_nested(str(type_)) for type_ in (*schema.types, result.types[0]))
        native = _udfvm_agent.Stream(formats.schema, formats.result_schema, formats.template) if flat else None
        return cls(native, schema, result)

    def __init__(self, native: _udfvm_agent.Stream | None, schema: pa.Schema, result: pa.Schema) -> None:
        self.native = native
        self.schema = schema
        self.type = result.field(0).type
        self.storage = storage_of(str(self.type))
        self._prefix = schema.serialize().to_pybytes()
        self._result_schema = result
        self._overhead = len(result.serialize()) + END_OF_STREAM

    def read_window(self, length: int) -> pa.RecordBatch:
        """The batch in the input window; its columns are views of the window."""
        return self.read(pa.foreign_buffer(INPUT_PAYLOAD, length))

    def read(self, stream: pa.Buffer) -> pa.RecordBatch:
        """The batch in a stream, without a copy."""
        prefix = len(self._prefix)
        if not stream.slice(0, prefix).equals(pa.py_buffer(self._prefix)):
            raise ValueError("the batch does not have the schema that the function was loaded with")
        return pa.ipc.read_record_batch(stream.slice(prefix), self.schema)

    def write(self, column: pa.Array) -> tuple[int, int]:
        """Writes the stream of a result to the output window; returns status and length.

        A stream that is larger than the host allows is not written: its length says so.
        """
        if column.offset or self.native is None:
            return self._write_any(column)
        buffers = column.buffers()
        offsets = buffers[1] if len(buffers) == 3 else None
        data = buffers[-1] if len(buffers) > 1 else None
        return STATUS_OK, self.native.write(self.storage, len(column), column.null_count, buffers[0], offsets, data)

    def _write_any(self, column: pa.Array) -> tuple[int, int]:
        """Leaves it to pyarrow to bring the buffers of a slice to their beginnings, and to lay out lists and structs."""
        batch = pa.RecordBatch.from_arrays([column], schema=self._result_schema)
        window = _udfvm_agent.output()
        length = self._overhead + pa.ipc.get_record_batch_size(batch)
        if length > len(window):
            return STATUS_OK, length
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        with pa.ipc.new_stream(sink, self._result_schema) as writer:
            writer.write_batch(batch)
        return STATUS_OK, sink.tell()


def strict_cast(array: pa.Array, declared: pa.DataType) -> pa.Array:
    """The array as the declared type, where it is the same or a wider form of it: nothing is rounded, cut or parsed."""
    found = array.type
    if found == declared:
        return array
    if pa.types.is_dictionary(found):
        return strict_cast(array.dictionary_decode(), declared)
    if pa.types.is_null(found):
        return pa.nulls(len(array), declared)
    if not _compatible(found, declared):
        raise TypeError(f"the function returned an array of {found}, but its result is declared {declared}")
    if pa.types.is_floating(declared):
        return array.cast(declared, safe=False)
    try:
        return array.cast(declared)
    except pa.ArrowInvalid as error:
        if pa.types.is_integer(declared):
            raise OverflowError(f"the function returned an array of {found}, but its result is declared {declared}: {error}") from None
        raise ValueError(f"the function returned an array of {found}, but its result is declared {declared}: {error}") from None


def _compatible(found: pa.DataType, declared: pa.DataType) -> bool:
    kinds = pa.types
    if kinds.is_floating(declared):
        return kinds.is_floating(found) or kinds.is_integer(found)
    if kinds.is_timestamp(declared):
        return kinds.is_timestamp(found) and (found.tz is None) == (declared.tz is None)
    if declared.num_fields:
        return _holds_compatible(found, declared)
    return any(
        same(found) and same(declared)
        for same in (kinds.is_integer, _is_text, _is_bytes, kinds.is_date)
    )


def _holds_compatible(found: pa.DataType, declared: pa.DataType) -> bool:
    """Lists of any kind for lists; for structs, structs with the same fields in the same order."""
    if found.num_fields != declared.num_fields or pa.types.is_struct(found) != pa.types.is_struct(declared) or pa.types.is_map(found):
        return False
    pairs = [(found.field(index), declared.field(index)) for index in range(declared.num_fields)]
    if pa.types.is_struct(declared) and any(one.name != other.name for one, other in pairs):
        return False
    return all(one.type == other.type or pa.types.is_null(one.type) or _compatible(one.type, other.type) for one, other in pairs)


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_bytes(type_: pa.DataType) -> bool:
    kinds = pa.types
    return kinds.is_binary(type_) or kinds.is_large_binary(type_) or kinds.is_binary_view(type_) or kinds.is_fixed_size_binary(type_)
