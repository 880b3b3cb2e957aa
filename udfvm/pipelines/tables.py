"""Batches of table functions: any number of rows for each row.

What they yield is handed over in parts, so that it need not fit into memory. Rows of the source
that fail give nothing, which is why the last one is handed over once it has ended: unless it gives
more than a part.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from udfvm.codec.any_columns import concatenated, nulls
from udfvm.codec.sizes import size_of_rows
from udfvm.errors import CallError, OutputLimitError, TypeMappingError
from udfvm.pipelines.batches import MAX_BYTES, MAX_ROWS
from udfvm.pipelines.columns import Arguments
from udfvm.pipelines.failures import Failure, OnError, located
from udfvm.pipelines.mapping import Made
from udfvm.types.conversions import Loss
from udfvm.types.unions import null_count

#: Batches of rows that a table function makes, and for each row the index of its arguments.
Fetched = Iterable[tuple[list[int], pa.RecordBatch]]


class _Named(Protocol):
    """A column that a table function makes."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> Any: ...


class TableMapping:
    """A table function in a pipeline.

    Args:
        name: the function's name.
        columns: the columns that it makes.
        fetch: calls it with columns of so many rows.
        max_output: bytes of what a row of the source may give; 0 for any number.
        may_repeat: False if calls have effects outside, through host functions: a call that failed
            is then not made again to find the row.
    """

    is_table: Final = True

    def __init__(
        self,
        name: str,
        columns: Sequence[_Named],
        fetch: Callable[[Sequence[pa.Array], int], Fetched],
        *,
        max_output: int,
        may_repeat: bool,
    ) -> None:
        self.name = name
        self._max_output = max_output
        self.fields = [column.type.field(column.name) for column in columns]
        self._schema = pa.schema(self.fields)
        self._fetch = fetch
        self._may_repeat = may_repeat

    def map_batch(
        self, arguments: Arguments, batch: pa.RecordBatch, first_row: int, on_error: OnError
    ) -> Generator[Made]:
        """Calls the function with the rows of a batch (see ``mapping.Mapped``): with all at once,
        and where one fails that is to be passed over, or is not known, with one after the other.

        A row that gives more than a part is called again, by itself: it alone is then to blame for
        what it does.
        """
        rows = _Rows(arguments, batch, first_row, on_error)
        start = 0
        while start < batch.num_rows:
            start = yield from self._together(rows, start)

    def _together(self, rows: _Rows, start: int) -> Generator[Made, None, int]:
        """Calls the function with the rows from ``start`` on. Returns how far it came."""
        count = rows.count - start
        may_repeat = self._may_repeat or rows.on_error != "raise"
        cast = rows.cast(start, count) if count > 1 else None
        if cast is None:
            return (yield from self._one_by_one(rows, start, rows.count))
        held = _Held()
        try:
            for sources, made in self._bounded(self._fetch(cast, count)):
                held.add([start + source for source in sources], made)
                last = held.sources[-1]
                if held.is_full and last > start:
                    yield from self._made(held.take_before(last), last - start)
                    start = last
                if held.is_full:
                    if may_repeat:
                        break
                    yield from self._made(held.take())
            else:
                yield from self._made(held.take(), rows.count - start)
                return rows.count
        except (CallError, TypeMappingError) as error:
            if rows.on_error == "raise" and (error.row is not None or not self._may_repeat):
                raise located(error, rows.first + rows.count - count, count) from None
            return (yield from self._one_by_one(rows, start, rows.count))
        return (yield from self._one_by_one(rows, start, start + 1))

    def _one_by_one(self, rows: _Rows, start: int, end: int) -> Generator[Made, None, int]:
        """Calls the function with one row after the other. Returns ``end``."""
        held = _Held()
        done = failed = 0
        failure: Failure | None = None
        for row in range(start, end):
            before = held.mark()
            try:
                for made in self._of_row(rows, row):
                    held.add([row] * made.num_rows, made)
                    if held.is_full:
                        yield from self._made(held.take(), done, failed, failure)
                        done = failed = 0
                        before = held.mark()
            except (CallError, TypeMappingError) as error:
                found = located(error, rows.first + row, 1)
                if rows.on_error == "raise":
                    raise found from None
                failure = failure or found
                held.drop_from(before)
                if rows.on_error == "null":
                    held.add([row], self._nulls())
                failed += 1
            done += 1
        yield from self._made(held.take(), done, failed, failure)
        return end

    def _of_row(self, rows: _Rows, row: int) -> Iterator[pa.RecordBatch]:
        columns = rows.cast_row(row)
        for parameter, column in zip(rows.arguments.parameters, columns, strict=True):
            if not parameter.nullable and null_count(column):
                return
        for _, made in self._bounded(self._fetch(columns, 1)):
            yield made

    def _bounded(self, fetched: Fetched) -> Fetched:
        """Yields what was fetched. Raises OutputLimitError where a row of the source gives more
        than its bytes.
        """
        if not self._max_output:
            yield from fetched
            return
        current, size = -1, 0
        for sources, made in fetched:
            first = 0
            while first < len(sources):
                source = sources[first]
                behind = bisect_right(sources, source)
                size = size if source == current else 0
                size += size_of_rows(made.slice(first, behind - first))
                current, first = source, behind
                if size > self._max_output:
                    raise OutputLimitError.of_bytes(size, self._max_output, self.name, source)
            yield sources, made

    def _made(
        self, held: _Held, done: int = 0, failed: int = 0, failure: Failure | None = None
    ) -> Iterator[Made]:
        """Yields the rows that are held, together if one column of each type has all values."""
        try:
            columns = [
                concatenated([each.column(index) for each in held.parts], field.type)
                for index, field in enumerate(self.fields)
            ]
        except Loss:
            start = 0
            for part in held.parts:
                end = start + part.num_rows
                yield Made(part.columns, held.sources[start:end], 0)
                start = end
            columns = [nulls(0, field.type) for field in self.fields]
            yield Made(columns, [], done, failed, failure)
            return
        yield Made(columns, held.sources, done, failed, failure)

    def _nulls(self) -> pa.RecordBatch:
        columns = [nulls(1, field.type) for field in self.fields]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


class _Rows:
    """Rows of a batch, of which the first has this index in the whole input."""

    def __init__(
        self, arguments: Arguments, batch: pa.RecordBatch, first: int, on_error: OnError
    ) -> None:
        self.arguments = arguments
        self.first = first
        self.count: int = batch.num_rows
        self.on_error = on_error
        self._batch = batch

    def cast(self, start: int, count: int) -> list[pa.Array] | None:
        """Returns the arguments of some rows; None if one of them has a wrong value."""
        try:
            return self.arguments.cast(self.arguments.of(self._batch.slice(start, count)))
        except TypeMappingError:
            return None

    def cast_row(self, row: int) -> list[pa.Array]:
        """Returns the arguments of a row. Raises TypeMappingError."""
        return self.arguments.cast(self.arguments.of(self._batch.slice(row, 1)))


class _Held:
    """Rows that the function yielded, not yet handed over; ``sources`` has for each the row of the
    batch that it was made for.
    """

    def __init__(self) -> None:
        self.sources: list[int] = []
        self.parts: list[pa.RecordBatch] = []
        self._sizes: list[int] = []

    @property
    def is_full(self) -> bool:
        """Whether there are enough to hand over."""
        return len(self.sources) >= MAX_ROWS or sum(self._sizes) >= MAX_BYTES

    def add(self, sources: list[int], made: pa.RecordBatch) -> None:
        """Adds rows behind the others."""
        self.sources += sources
        self.parts.append(made)
        self._sizes.append(size_of_rows(made))

    def take(self) -> _Held:
        """Takes all rows."""
        taken = _Held()
        taken.sources, taken.parts = self.sources, self.parts
        self.sources, self.parts, self._sizes = [], [], []
        return taken

    def take_before(self, source: int) -> _Held:
        """Takes the rows that were made for those before a row of the batch."""
        taken = self.take()
        rest = len(taken.sources) - bisect_left(taken.sources, source)
        behind: list[tuple[list[int], pa.RecordBatch]] = []
        while rest:
            part = taken.parts.pop()
            count = min(rest, part.num_rows)
            if count < part.num_rows:
                taken.parts.append(part.slice(0, part.num_rows - count))
            behind.append((taken.sources[-count:], part.slice(part.num_rows - count)))
            del taken.sources[-count:]
            rest -= count
        for sources, part in reversed(behind):
            self.add(sources, part)
        return taken

    def mark(self) -> tuple[int, int]:
        """Returns what ``drop_from`` takes."""
        return len(self.sources), len(self.parts)

    def drop_from(self, mark: tuple[int, int]) -> None:
        """Drops what was added since."""
        rows, parts = mark
        del self.sources[rows:], self.parts[parts:], self._sizes[parts:]
