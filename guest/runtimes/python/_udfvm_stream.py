"""Arrow IPC streams in the windows: one record batch in, one column out, and the types on the way."""

from __future__ import annotations

from typing import Final

import _udfvm_agent
import pyarrow as pa
import pyarrow.ipc

INPUT_PAYLOAD: Final = 0x4000001000
STATUS_OK: Final = 0
END_OF_STREAM: Final = 8                         # bytes

# enum storage of values.h; timestamps are stored as int64
STORAGES: Final = {
    "bool": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "uint8": 5,
    "uint16": 6,
    "uint32": 7,
    "uint64": 8,
    "float": 9,
    "double": 10,
    "string": 11,
    "large_string": 12,
    "binary": 13,
    "large_binary": 14,
    "null": 15,
    "date32[day]": 3,
    "date64[ms]": 4,
}


def storage_of(type_: pa.DataType) -> int:
    """How Arrow stores a type."""
    return STORAGES["int64"] if pa.types.is_timestamp(type_) else STORAGES[str(type_)]


class Stream:
    """Reads batches of one schema and writes columns of one type. ``native`` does the same in C."""

    def __init__(self, schema: pa.Schema, result: pa.DataType) -> None:
        self.schema = schema
        self.type = result
        self.storage = storage_of(result)
        self._prefix = schema.serialize().to_pybytes()
        self._result_schema = pa.schema([("result", result)])
        self._overhead = len(self._result_schema.serialize()) + END_OF_STREAM
        template = pa.RecordBatch.from_arrays([one_row(result)], schema=self._result_schema)
        self.native = _udfvm_agent.Stream(
            self._prefix, self._result_schema.serialize().to_pybytes(), template.serialize().to_pybytes()
        )

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
        if column.offset:
            return self._write_slice(column)
        buffers = column.buffers()
        offsets = buffers[1] if len(buffers) == 3 else None
        data = buffers[-1] if len(buffers) > 1 else None
        return STATUS_OK, self.native.write(self.storage, len(column), column.null_count, buffers[0], offsets, data)

    def _write_slice(self, column: pa.Array) -> tuple[int, int]:
        """Leaves it to pyarrow to bring the buffers of a slice to their beginnings."""
        batch = pa.RecordBatch.from_arrays([column], schema=self._result_schema)
        window = _udfvm_agent.output()
        length = self._overhead + pa.ipc.get_record_batch_size(batch)
        if length > len(window):
            return STATUS_OK, length
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(window))
        with pa.ipc.new_stream(sink, self._result_schema) as writer:
            writer.write_batch(batch)
        return STATUS_OK, sink.tell()


def one_row(type_: pa.DataType) -> pa.Array:
    """A column of one row of zeros, with a byte of text where there is text."""
    if pa.types.is_null(type_):
        return pa.nulls(1)
    buffers: list[pa.Buffer | None] = [None]
    if type_.num_buffers == 3:
        buffers.append(pa.py_buffer(b"\0\0\0\0\1\0\0\0" if STORAGES[str(type_)] in (11, 13) else bytes(8) + b"\1" + bytes(7)))
    return pa.Array.from_buffers(type_, 1, [*buffers, pa.py_buffer(bytes(64))], 0)


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
    return any(
        same(found) and same(declared)
        for same in (kinds.is_integer, _is_text, _is_bytes, kinds.is_date)
    )


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_bytes(type_: pa.DataType) -> bool:
    kinds = pa.types
    return kinds.is_binary(type_) or kinds.is_large_binary(type_) or kinds.is_binary_view(type_) or kinds.is_fixed_size_binary(type_)
