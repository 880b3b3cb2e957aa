"""Table functions: rows, or whole Arrow batches, from a function that yields them, a bounded number for each request."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import _udfvm_agent
from _udfvm_columns import STATUS_OK, argument_slots, result_slot
from _udfvm_report import report

REQUEST_TABLE: Final = 6
REQUEST_FETCH: Final = 7
MORE: Final = 1
# Texts and bytes that are gathered for one reply, at most, but for the last row.
LARGEST_PIECE: Final = 4 << 20

_FETCH: Final = struct.Struct("<QQ")                     # struct udfvm_fetch
_LONGEST_SLICE: Final = 1 << 16


class TableFunction:
    """A function that yields rows: what is gathered, and how far it came."""

    def __init__(self, function: Callable[..., Iterable[Any]], metadata: Mapping[str, Any]) -> None:
        parameters = metadata["parameters"]
        self._function = function
        self._nullable = [parameter["nullable"] for parameter in parameters]
        self._names = [column["name"] for column in metadata["columns"]]
        self._types = [column["type"] for column in metadata["columns"]]
        slots = (result_slot("int64", False), *(result_slot(column["type"], column["nullable"]) for column in metadata["columns"]))
        self._columns = _udfvm_agent.Columns(argument_slots([parameter["type"] for parameter in parameters], self._nullable), slots)
        self._items: Iterator[tuple[int, Any]] = iter(())
        self._waiting: list[tuple[Any, ...]] = []        # rows, each with its source first
        self._batch: tuple[int, Any] | None = None       # an Arrow batch, and its source
        self._ended = True
        self._source = -1

    def answer(self, request: int) -> tuple[int, int]:
        """Answers TABLE and FETCH."""
        try:
            limit: int = _FETCH.unpack_from(_udfvm_agent.input())[0]
            if request == REQUEST_TABLE:
                rows, lists = self._columns.read(_FETCH.size)
                self._begin(list(zip(*lists, strict=True)) if lists else [()] * rows)
            return STATUS_OK, self._reply(limit)
        except BaseException as exception:  # noqa: BLE001 - whatever the function raises is its caller's
            return report(exception, self._source)

    def rows_of(self, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows for some arguments, for warming up. Batches are left out."""
        return [self._row(item) for item in self._function(*arguments) if not _is_batch(item)]

    def _begin(self, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._items = self._run(arguments)
        self._waiting, self._batch, self._ended, self._source = [], None, False, -1

    def _run(self, arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for source, row in enumerate(arguments):
            if any(value is None and not nullable for value, nullable in zip(row, self._nullable, strict=True)):
                continue                                 # a null that is not welcome: no rows
            self._source = source
            for item in _iterable(self._function(*row)):
                yield source, item

    def _reply(self, limit: int) -> int:
        if not self._waiting and self._batch is None:
            self._gather(limit)
        if self._waiting:
            return self._write_rows(limit)
        if self._batch is not None:
            return self._write_batch(limit)
        return self._columns.write(0, [[] for _ in range(len(self._names) + 1)], 0)

    def _gather(self, limit: int) -> None:
        size = 0
        while len(self._waiting) < limit and size < LARGEST_PIECE:
            found = next(self._items, None)
            if found is None:
                self._ended = True
                return
            source, item = found
            if _is_batch(item):
                self._batch = (source, self._arrow(item))
                return
            row = (source, *self._row(item))
            size += sum([len(value) for value in row if isinstance(value, (str, bytes))])
            self._waiting.append(row)

    def _flags(self) -> int:
        return 0 if self._ended and not self._waiting and self._batch is None else MORE

    def _write_rows(self, limit: int) -> int:
        count = min(limit, len(self._waiting))
        room = len(_udfvm_agent.output())
        while True:
            piece, rest = self._waiting[:count], self._waiting[count:]
            last = self._ended and not rest and self._batch is None
            try:
                length = self._columns.write(count, [list(column) for column in zip(*piece, strict=True)], 0 if last else MORE)
            except BaseException:
                if self._columns.row >= 0:
                    self._source = piece[self._columns.row][0]
                raise
            if length <= room or count == 1:
                self._waiting = rest
                return length
            count //= 2

    def _row(self, item: Any) -> tuple[Any, ...]:
        width = len(self._names)
        if isinstance(item, (tuple, list)):
            row = tuple(item)
        elif isinstance(item, Mapping):
            unknown = [name for name in item if name not in self._names]
            if unknown:
                raise TypeError(f"the function yielded a value for {unknown[0]!r}, which is no column: there are {', '.join(self._names)}")
            row = tuple(item.get(name) for name in self._names)
        elif width == 1:
            row = (item,)
        else:
            raise TypeError(f"the function yielded {type(item).__name__}: yield a tuple with the columns {', '.join(self._names)}")
        if len(row) != width:
            raise TypeError(f"the function yielded a row of {len(row)} values, but has {width} columns: {', '.join(self._names)}")
        return row

    # ---- Arrow batches ----

    def _arrow(self, item: Any) -> Any:
        """A table of the declared columns, in their order."""
        import pyarrow as pa
        from _udfvm_stream import strict_cast

        table = pa.table(item) if isinstance(item, pa.RecordBatch) else item
        if table.num_columns != len(self._names):
            raise TypeError(f"the function yielded a batch of {table.num_columns} columns, but has {len(self._names)}")
        if set(table.column_names) == set(self._names):
            table = table.select(self._names)
        arrays = []
        for column, name in zip(table.columns, self._types, strict=True):
            array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
            arrays.append(strict_cast(array, _arrow_type(name)))
        return pa.RecordBatch.from_arrays(arrays, names=[str(index) for index in range(len(arrays))])

    def _write_batch(self, limit: int) -> int:
        import pyarrow as pa
        from _udfvm_arrow_columns import wide_buffers

        assert self._batch is not None
        source, batch = self._batch
        count = min(limit, batch.num_rows, _LONGEST_SLICE)
        room = len(_udfvm_agent.output())
        while True:
            piece = batch.slice(0, count)
            self._batch = (source, batch.slice(count)) if count < batch.num_rows else None
            columns = [pa.array([source] * count, pa.int64()), *piece.columns]
            length = self._columns.write(count, [wide_buffers(column) for column in columns], self._flags())
            if length <= room or count <= 1:
                return length
            count //= 2


def _arrow_type(name: str) -> Any:
    import pyarrow as pa
    from _udfvm_types import timestamp_parts

    parts = timestamp_parts(name)
    return pa.timestamp(*parts) if parts else pa.type_for_alias(name.removesuffix("[day]").removesuffix("[ms]"))


def _iterable(result: Any) -> Iterable[Any]:
    if result is None:
        return ()
    if not isinstance(result, Iterable) or isinstance(result, (str, bytes, Mapping)):
        raise TypeError(f"the function returned {type(result).__name__}: a table function yields rows, or returns a list of them")
    return (result,) if _is_batch(result) else result


def _is_batch(item: Any) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(item, (pyarrow.RecordBatch, pyarrow.Table))
