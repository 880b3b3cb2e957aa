"""Column batches with columns that are Arrow streams, each of one column, as record batches of
scalar and vectorised functions are: so they have every type that those have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _udfvm_agent
import pyarrow as pa
import pyarrow.ipc
from _udfvm_array_values import to_values
from _udfvm_nested_batch import values_of
from _udfvm_nested_values import value_check
from _udfvm_signature import Parameters
from _udfvm_slots import refuse_none
from _udfvm_stream import Stream
from _udfvm_unions import array_of


class StreamColumns:
    """Reads and writes column batches of which some columns are streams; ``batch`` does the others.

    Attributes:
        made: the columns of a reply that are streams, by index.
    """

    def __init__(
        self,
        batch: _udfvm_agent.ColumnBatch,
        metadata: Mapping[str, Any],
        schemas: tuple[bytes, bytes],
        *,
        first: tuple[int, int],
    ) -> None:
        """``schemas`` are those of the columns that the metadata describe, in a request and in a
        reply; ``first`` is the index there of the first of them.
        """
        asked, made = (pa.ipc.read_schema(pa.py_buffer(each)) for each in schemas)
        parameters = Parameters.of(metadata["parameters"]).in_errors
        self._batch = batch
        self._arguments = {
            first[0] + index: (stream_of_type(asked.types[index]), parameter)
            for index, (each, parameter) in enumerate(
                zip(metadata["parameters"], parameters, strict=True)
            )
            if each["stream"]
        }
        self.made = {
            first[1] + index: _Made(made.types[index], each["type"], each["nullable"])
            for index, each in enumerate(metadata["columns"])
            if each["stream"]
        }
        self._row = self._column = -1
        self._passed_on = False  # the last write() came to the columns that are no streams

    @property
    def row(self) -> int:
        """The row at which the last write() failed; -1 if that is not known."""
        return self._batch.row if self._passed_on else self._row

    @property
    def column(self) -> int:
        """The index of the column that the last write() came to."""
        return self._batch.column if self._passed_on else self._column

    def read(self, offset: int) -> tuple[int, list[Any]]:
        """Returns the rows and the columns of the batch at an offset of the request, as lists."""
        rows, columns = self._batch.read(offset)
        for index, (stream, parameter) in self._arguments.items():
            if isinstance(columns[index], memoryview):
                columns[index] = values_of(_column(stream, columns[index]), parameter)
        return rows, columns

    def buffers(self, offset: int) -> tuple[int, list[Any]]:
        """Returns the rows and the buffers of each column; of a stream, the column itself."""
        rows, columns = self._batch.buffers(offset)
        for index, (stream, _) in self._arguments.items():
            if isinstance(columns[index], memoryview):
                columns[index] = _column(stream, columns[index])
        return rows, columns

    def write(self, rows: int, columns: list[Any], flags: int) -> int:
        """Writes a reply, as ``ColumnBatch.write``. Columns that are streams are lists of values or
        pyarrow's arrays.
        """
        self._row, self._passed_on = -1, False
        whole = list(columns)
        for index, made in self.made.items():
            if index < len(columns):
                self._column = index
                whole[index] = self._stream_of(made, columns[index])
        self._passed_on = True
        return self._batch.write(rows, whole, flags)

    def _stream_of(self, made: _Made, column: Any) -> pa.Buffer:
        if isinstance(column, pa.Array):
            return made.stream.packed(column)
        checked = []
        for self._row, value in enumerate(column):  # noqa: B020
            checked.append(made.check(value))
        try:
            array = array_of(checked, made.stream.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            for self._row, value in enumerate(checked):  # noqa: B020
                array_of([value], made.stream.type)
            self._row = -1
            raise
        self._row = -1
        return made.stream.packed(array)


class _Made:
    """A column of a reply that is a stream."""

    def __init__(self, type_: pa.DataType, name: str, nullable: bool) -> None:
        check = value_check(name)
        self.check = check if nullable else refuse_none(check)
        self.stream = stream_of_type(type_)


class ValueStream:
    """Single values of a type as streams: arguments and results of host functions."""

    def __init__(self, name: str, schema: bytes) -> None:
        """``schema`` is that of what the host writes."""
        self._made = _Made(pa.ipc.read_schema(pa.py_buffer(schema)).types[0], name, True)

    def encode(self, value: Any) -> bytes:
        """Returns the stream of a value. Raises TypeError, ValueError, OverflowError or
        pyarrow.ArrowException.
        """
        made = array_of([self._made.check(value)], self._made.stream.type)
        return bytes(self._made.stream.packed(made))

    def decode(self, stream: bytes) -> Any:
        """Returns the value in a stream."""
        return to_values(_column(self._made.stream, memoryview(stream)))[0]


def stream_of_type(type_: pa.DataType) -> Stream:
    """Returns the streams of one column of a type."""
    return Stream(None, *(pa.schema([pa.field(name, type_)]) for name in ("c0", "result")))


def _column(stream: Stream, data: memoryview) -> pa.Array:
    return stream.read(pa.py_buffer(data)).column(0)
