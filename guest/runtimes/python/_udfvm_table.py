"""Table functions: rows or whole Arrow batches from a function that yields them, a bounded number
for each request.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import _udfvm_agent
from _udfvm_agent import COLUMNS_MORE, REQUEST_TABLE, STATUS_OK
from _udfvm_column_batch import Batches
from _udfvm_column_types import column_type
from _udfvm_layouts import FETCH
from _udfvm_report import report
from _udfvm_signature import Parameters
from _udfvm_slots import result_slot
from _udfvm_table_frames import Frames
from _udfvm_table_rows import Rows, placed, size_of

# The limit of texts and bytes gathered for one reply, without its last row.
MAX_CHUNK_BYTES: Final = 4 << 20
FIRST_CHUNK_ROWS: Final = 4  # rows, if their types have no fixed size


class _Rows(NamedTuple):
    """Waiting rows, column by column, and the row of arguments that they belong to."""

    source: int
    columns: list[list[Any]]
    rows: int


class _Batch(NamedTuple):
    """A waiting Arrow batch."""

    source: int
    batch: Any


class _Raised(Iterator[Any]):
    """Replaces the items of a function that raised, after the items before that were taken."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception

    def __next__(self) -> Any:
        raise self.exception


class TableFunction:
    """A function that yields rows, the rows gathered from it, and its progress."""

    def __init__(
        self,
        function: Callable[..., Iterable[Any]],
        metadata: Mapping[str, Any],
        schemas: tuple[bytes, bytes],
    ) -> None:
        """``schemas`` are the messages of those of the parameters and of the columns."""
        self._function = function
        self._nullable = Parameters.of(metadata["parameters"]).nullable
        self._names = [column["name"] for column in metadata["columns"]]
        types = [column["type"] for column in metadata["columns"]]
        self._rows = Rows(self._names, types)
        self._frames = Frames(self._names, types, schemas[1])
        self._nested, self._texts = [], []  # columns of variable size
        for index, column in enumerate(metadata["columns"]):
            if column["stream"]:
                self._nested.append(index)
            elif column_type(column["type"]).startswith("large_"):
                self._texts.append(index)
        self._variable = bool(self._nested or self._texts)
        self._batches = Batches(metadata, schemas, results=(result_slot("int64", False),))
        self._columns = self._batches.of(0)
        self._begin([])

    def answer(self, request: int) -> tuple[int, int]:
        """Answers TABLE and FETCH."""
        try:
            limit, flags = FETCH.unpack_from(_udfvm_agent.input())
            self._columns = self._batches.of(flags)
            if request == REQUEST_TABLE:
                rows, lists = self._columns.read(FETCH.size)
                self._begin(list(zip(*lists, strict=True)) if lists else [()] * rows)
            if not self._waiting:
                self._run(limit)
            return STATUS_OK, self._reply(limit)
        except BaseException as exception:  # noqa: BLE001 - whatever the function raises is its caller's
            return report(exception, self._source)

    def rows_of(self, arguments: Sequence[Any]) -> list[list[Any]]:
        """Returns all rows for some arguments, for warming up, without those of batches, which are
        read.
        """
        rows = []
        for item in self._frames.items_of(self._function(*arguments)):
            if self._frames.has(item):
                self._frames.batch(item)
            else:
                rows.append(item)
        return self._rows.columns_of(rows)

    def _begin(self, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._arguments = enumerate(arguments)
        self._items: Iterator[Any] | None = None  # of the current row of arguments
        self._source = -1
        self._yielded = 0  # rows for the current row of arguments
        self._sent = -1, 0  # the row of arguments that the last reply ended with, and rows for it
        self._ended = False
        self._waiting: deque[_Rows | _Batch] = deque()
        self._failure: BaseException | None = None  # of the function, raised after the rows

    # ---- From the function ----

    def _run(self, limit: int) -> None:
        """Gathers rows. An exception waits until the rows before it are taken."""
        if self._failure is None:
            try:
                self._gather(limit)
                return
            except BaseException as exception:  # noqa: BLE001 - whatever the function raises is its caller's
                self._failure = exception
        if not self._waiting:
            raise self._failure

    def _advance(self) -> bool:
        """Moves on to the next row of arguments. Returns False if there is none."""
        for source, row in self._arguments:
            self._source, self._yielded = source, 0
            if all(
                nullable or value is not None
                for value, nullable in zip(row, self._nullable, strict=True)
            ):
                _udfvm_agent.begin_row()
                self._items = iter(self._frames.items_of(self._function(*row)))
                return True  # a null for a parameter that does not allow it: no rows
        self._ended = True
        return False

    def _gather(self, limit: int) -> None:
        """Runs the function for a number of rows, until they are large, or until it yields a
        batch.
        """
        rows = size = 0
        chunk = FIRST_CHUNK_ROWS if self._variable else limit
        while rows < limit and size < MAX_CHUNK_BYTES:
            if self._items is None and not self._advance():
                return
            items = self._take_items(min(chunk, limit - rows))
            if not items:
                if isinstance(self._items, _Raised):
                    raise self._items.exception
                self._items = None
                continue
            if self._frames.any(items):
                if self._wait_for_batch(items):
                    return
                continue
            size += self._wait(items)
            rows += len(items)
            if self._variable:  # an estimate of how many more fit, on the low side
                chunk = max(1, min(4 * rows, (MAX_CHUNK_BYTES - size) * rows // (size + 1)))

    def _take_items(self, count: int) -> list[Any]:
        """Takes the next items that the function yields, at most a number."""
        assert self._items is not None
        items: list[Any] = []
        try:
            items.extend(itertools.islice(self._items, count))
        except BaseException as exception:  # noqa: BLE001 - whatever the function raises comes behind its rows
            self._items = _Raised(exception)  # `items` has what was yielded before
        return items

    def _wait_for_batch(self, items: list[Any]) -> bool:
        """Puts the first batch among items on the waiting list, with the rows before it. The items
        behind it come next. Returns False if nothing waits: rows are in its place among the items.
        """
        assert self._items is not None
        index = next(index for index, item in enumerate(items) if self._frames.has(item))
        rest = items[index + 1 :]
        self._items = itertools.chain(rest, self._items) if rest else self._items
        self._wait(items[:index])
        rows = self._frames.rows(items[index])
        if rows is not None:
            self._items = itertools.chain(rows, self._items)
            return index > 0
        batch = self._frames.batch(items[index])
        self._yielded += batch.num_rows
        self._waiting.append(_Batch(self._source, batch))
        return True

    def _wait(self, items: list[Any]) -> int:
        """Puts rows on the waiting list. Returns the bytes of what has no fixed size in them."""
        if not items:
            return 0
        try:
            columns = self._rows.columns_of(items)
        except BaseException as exception:  # noqa: BLE001 - code of the user's classes runs
            good = self._rows.good(items)
            if good:
                self._wait(items[:good])
            raise placed(exception, f"row {self._yielded}")  # noqa: B904 - it has the cause
        self._yielded += len(items)
        self._waiting.append(_Rows(self._source, columns, len(items)))
        size = sum(
            [
                len(value)
                for index in self._texts
                for value in columns[index]
                if isinstance(value, (str, bytes))
            ]
        )
        return size + sum([size_of(value) for index in self._nested for value in columns[index]])

    # ---- To the host ----

    def _reply(self, limit: int) -> int:
        if not self._waiting:
            return self._columns.write(0, [[] for _ in range(len(self._names) + 1)], self._flags())
        first = self._waiting[0]
        if isinstance(first, _Batch):
            return self._write_batch(self._waiting.popleft(), limit)  # type: ignore[arg-type]
        return self._write_rows(limit)

    def _flags(self) -> int:
        return 0 if self._ended and not self._waiting and self._failure is None else COLUMNS_MORE

    def _take_rows(self) -> tuple[list[int], list[list[Any]]]:
        """Takes all waiting rows up to a batch: their sources, and their columns."""
        sources: list[int] = []
        columns: list[list[Any]] = [[] for _ in self._names]
        while self._waiting and isinstance(self._waiting[0], _Rows):
            chunk = self._waiting.popleft()
            assert isinstance(chunk, _Rows)
            sources += [chunk.source] * chunk.rows
            for column, more in zip(columns, chunk.columns, strict=True):
                column += more
        return sources, columns

    def _write_rows(self, limit: int) -> int:
        sources, columns = self._take_rows()
        count = min(limit, len(sources))
        capacity = len(_udfvm_agent.output())
        while True:
            try:
                length = self._write_first(count, sources, columns)
            except BaseException as exception:
                good = self._columns.row
                if good >= 0:
                    self._source = sources[good]
                    exception = self._located(exception, sources, good)
                if good <= 0:
                    raise exception  # noqa: TRY201 - it may be another now
                self._failure, count = exception, good  # the rows before it, then the exception
                sources, columns = sources[:good], [column[:good] for column in columns]
                self._waiting.clear()
                continue
            if length <= capacity or count == 1:
                break
            count //= 2
        self._put_back(count, sources, columns)
        if count:
            source = sources[count - 1]
            self._count_sent(source, count - bisect_left(sources, source))
        return length

    def _located(self, exception: BaseException, sources: list[int], row: int) -> BaseException:
        """Returns the exception of a value, with its column and its row among those for its row of
        arguments.
        """
        source = sources[row]
        before = row - bisect_left(sources, source)
        if source == self._sent[0]:
            before += self._sent[1]
        name = self._names[self._columns.column - 1]
        return placed(exception, f"row {before} that the function yielded, column {name!r}")

    def _count_sent(self, source: int, count: int) -> None:
        """Counts rows of a reply that are its last ones, and of one row of arguments."""
        before = self._sent[1] if source == self._sent[0] else 0
        self._sent = source, before + count

    def _write_first(self, count: int, sources: list[int], columns: list[list[Any]]) -> int:
        """Writes the first rows. Returns the length of the reply."""
        chunks: list[Any] = [sources, *columns]
        if count == len(sources):
            return self._columns.write(count, chunks, self._flags())
        return self._columns.write(count, [column[:count] for column in chunks], COLUMNS_MORE)

    def _put_back(self, count: int, sources: list[int], columns: list[list[Any]]) -> None:
        """Puts rows that did not fit back, before those that wait."""
        rest = []
        while count < len(sources):
            end = bisect_right(sources, sources[count])
            rest.append(
                _Rows(sources[count], [column[count:end] for column in columns], end - count)
            )
            count = end
        self._waiting.extendleft(reversed(rest))

    # ---- Arrow batches ----

    def _write_batch(self, waiting: _Batch, limit: int) -> int:
        import pyarrow as pa
        from _udfvm_arrow_columns import column_buffers

        streams = getattr(self._columns, "made", ())
        source, batch = waiting
        count = min(limit, batch.num_rows)
        capacity = len(_udfvm_agent.output())
        while True:
            chunk = batch.slice(0, count)
            columns = [pa.array([source] * count, pa.int64()), *chunk.columns]
            more = self._flags() or count < batch.num_rows
            length = self._columns.write(
                count,
                [
                    column if index in streams else column_buffers(column)
                    for index, column in enumerate(columns)
                ],
                COLUMNS_MORE if more else 0,
            )
            if length <= capacity or count <= 1:
                break
            count //= 2
        if count < batch.num_rows:
            self._waiting.appendleft(_Batch(source, batch.slice(count)))
        self._count_sent(source, count)
        return length
