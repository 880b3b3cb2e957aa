"""Batches of numbers without nulls: the way around the IPC writer and reader.

For small batches the pages of memory that a library touches cost more than what it does: after each
exit from a VM the processor finds its caches and translations gone. So columns that are already
stored as they travel, whole, sliced or in chunks, are copied as they are, once, straight into guest
memory, and numbers in a reply are used where they lie.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.containers import Container, in_container
from udfvm.codec.window import TooLargeForWindowError
from udfvm.tuples import NamedTuple
from udfvm.types.numpy_conversions import numpy_type
from udfvm.vmm import copy

if TYPE_CHECKING:
    import numpy as np

    from udfvm.codec.number_streams import NumberCodec
    from udfvm.codec.record_batches import BatchCodec, BatchReply


class NumberColumns(NamedTuple):
    """Columns of numbers: of each, its bytes in one chunk or several."""

    container: Container  # of the result
    num_rows: int
    widths: tuple[int, ...]  # bytes of a number of each column
    data: tuple[tuple[memoryview, ...], ...]

    @property
    def is_in_one_chunk(self) -> bool:
        """True if no column is in chunks."""
        return self.container is not Container.CHUNKED

    def slice(self, start: int, count: int) -> NumberColumns:
        """Returns so many rows, without a copy."""
        if start == 0 and count == self.num_rows:
            return self
        data = tuple(
            tuple(_slice(chunks, start * width, count * width))
            for chunks, width in zip(self.data, self.widths, strict=True)
        )
        return self._replace(num_rows=count, data=data)


class ResultMemory:
    """Memory for all numbers of a result that comes in parts."""

    def __init__(self, rows: int, width: int) -> None:
        self._buffer = pa.allocate_buffer(rows * width)
        self._bytes = memoryview(self._buffer).cast("B")
        self._rows, self._width = rows, width

    def keep(self, first_row: int, rows: int, reply: memoryview) -> pa.Buffer:
        """Copies the reply to so many rows: numbers to their place, what is longer elsewhere."""
        begin, length = first_row * self._width, rows * self._width
        if len(reply) != length:
            return pa.py_buffer(bytes(reply))
        copy(self._bytes[begin : begin + length], reply)
        return self._buffer.slice(begin, length)

    def joined(self, replies: list[BatchReply]) -> list[BatchReply]:
        """Returns one reply to all rows, if they are numbers alone, else the replies as they
        are.
        """
        if not all(reply.is_data for reply in replies):
            return replies
        return [replies[0]._replace(data=self._buffer, rows=self._rows)]


class NumberBatches:
    """Requests from arrays of numbers and results as the caller wants them, for one signature.

    Attributes:
        has_small: True if small batches of these types have a way of their own.

    >>> import pyarrow as pa
    >>> from udfvm.codec.record_batches import BatchCodec
    >>> from udfvm.types.signatures import signature_of
    >>> def half(x: float) -> float: ...
    >>> signature = signature_of(half, "half", vectorized=False, input_types=None, output_type=None)
    >>> batches = NumberBatches(BatchCodec("half", signature.parameters, signature.result))
    >>> batches.take([pa.chunked_array([[1.0, 2.0], [3.0]])]).num_rows
    3
    >>> batches.take([pa.array([1.0, None])]) is None            # not without nulls
    True
    """

    def __init__(self, codec: BatchCodec, *, times: bool = True) -> None:
        """``times``: of any value, as vectorised functions take them; scalar ones take those that
        Python has.
        """
        self._types = tuple(codec.schema.types)
        self._result: pa.DataType = codec.result_schema.types[0]
        takes_all = times or not any(map(pa.types.is_timestamp, self._types))
        is_whole = takes_all and not codec.is_restored
        self._codec: NumberCodec | None = codec.number_codec() if is_whole else None
        self._batch_codec = codec
        self._widths = tuple(type_.bit_width // 8 for type_ in self._types) if self._codec else ()
        # Timestamps have values that stand for nulls in numpy.
        self.has_small = self._codec is not None and not any(
            map(pa.types.is_timestamp, (*self._types, self._result))
        )
        # The types in numpy, the result's last, once they are asked for.
        self._dtypes: tuple[np.dtype[Any], ...] = ()

    def take(self, arguments: Sequence[Any]) -> NumberColumns | None:
        """Returns the arguments, if all are columns of one length, not empty, without nulls and
        stored as the declared types are; else None.
        """
        if self._codec is None:
            return None
        numpy = sys.modules.get("numpy")
        ndarray = None if numpy is None else numpy.ndarray
        container, rows, data = Container.NUMPY, 0, []
        for index, argument in enumerate(arguments):
            if type(argument) is ndarray:
                chunks = self._numpy_chunks(argument, index)
            elif isinstance(argument, pa.Array):
                container = Container.ARRAY if container is Container.NUMPY else container
                chunks = self._chunks((argument,), index)
            elif isinstance(argument, pa.ChunkedArray):
                container = Container.CHUNKED
                chunks = (
                    self._chunks(argument.chunks, index)
                    if argument.type == self._types[index]
                    else None
                )
            else:
                return None
            if chunks is None:
                return None
            length = len(argument)
            if length == 0 or (rows and length != rows):
                return None
            rows = length
            data.append(chunks)
        return NumberColumns(container, rows, self._widths, tuple(data))

    def _chunks(self, arrays: Iterable[pa.Array], index: int) -> tuple[memoryview, ...] | None:
        type_, width = self._types[index], self._widths[index]
        chunks = []
        for array in arrays:
            if array.type != type_ or array.null_count:
                return None
            data = array.buffers()[1]
            if data is None:
                continue  # it has no rows
            if not data.is_cpu:
                return None
            begin = array.offset * width
            chunks.append(memoryview(data).cast("B")[begin : begin + len(array) * width])
        return tuple(chunks)

    def _numpy_chunks(
        self, argument: np.ndarray[Any, Any], index: int
    ) -> tuple[memoryview, ...] | None:
        if argument.ndim != 1 or argument.dtype != self._numpy_types()[index]:
            return None
        import numpy as np

        if argument.dtype.kind == "M" and np.isnat(argument).any():
            return None  # these are nulls
        if not argument.flags.c_contiguous:
            argument = np.ascontiguousarray(argument)
        return (argument.view(np.uint8).data,)

    def _numpy_types(self) -> tuple[np.dtype[Any], ...]:
        if not self._dtypes:
            import numpy as np

            self._dtypes = tuple(
                np.dtype(numpy_type(type_)) for type_ in (*self._types, self._result)
            )
        return self._dtypes

    def memory(self, rows: int) -> ResultMemory:
        """Returns memory for the numbers of a result of so many rows."""
        return ResultMemory(rows, self._result.bit_width // 8)

    def small_codecs(self) -> tuple[BatchCodec, NumberCodec]:
        """Returns the codecs. ``has_small`` says that there are such."""
        assert self._codec is not None
        return self._batch_codec, self._codec

    def size(self, columns: NumberColumns) -> int:
        """Bytes of a request."""
        assert self._codec is not None  # or nothing would have been taken
        return self._codec.layout(columns.num_rows).request_length

    def write(self, window: memoryview, columns: NumberColumns) -> int:
        """Writes a request to the window; returns its length in bytes. Raises
        TooLargeForWindowError.
        """
        codec = self._codec
        assert codec is not None  # or nothing would have been taken
        layout = codec.layout(columns.num_rows)
        if layout.request_length > len(window):
            raise TooLargeForWindowError(layout.request_length, len(window))
        codec.write(window, layout, columns.data)
        return layout.request_length

    def result(self, container: Container, replies: Sequence[BatchReply]) -> Any:
        """Returns the numbers in replies to the chunks of a batch, as the caller wants them."""
        if container is Container.NUMPY and len(replies) == 1 and replies[0].is_data:
            import numpy as np

            numbers = np.frombuffer(replies[0].data, self._numpy_types()[-1])
            return numbers if numbers.flags.writeable else numbers.copy()
        return in_container(
            self._batch_codec.function,
            container,
            self._result,
            [self._batch_codec.array(reply) for reply in replies],
        )


def _slice(chunks: Iterable[memoryview], start: int, length: int) -> Iterable[memoryview]:
    for chunk in chunks:
        if length == 0:
            return
        part = chunk[start : start + length]
        start = max(0, start - len(chunk))
        length -= len(part)
        if part:
            yield part
