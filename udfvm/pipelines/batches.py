"""Cutting a source into the batches of a pipeline.

A batch should take a VM some 50 ms: long enough that a call costs next to nothing, short enough for
even work, a short wait at the end and few rows to repeat if one of them fails.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from udfvm.codec.sizes import size_of_rows
from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Refused
from udfvm.types.encodings import are_joined_in_order, decoded, has_order, restored
from udfvm.types.unions import rows_singly

FIRST_ROWS: Final = 16  # they fit the deadline of 10 s where each takes half a second
MAX_ROWS: Final = 1 << 17
MAX_BYTES: Final = 16 << 20
TARGET: Final = 0.05  # seconds of a batch
_MAX_GROWTH: Final = 4


class BatchSize:
    """How many rows a batch has: the more, the faster the rows before were.

    May be used by several threads.
    """

    def __init__(self, seconds: float = TARGET, maximum: int = MAX_ROWS) -> None:
        """``seconds``: what a batch should take. ``maximum``: rows of the largest."""
        self._lock = threading.Lock()
        self._seconds = seconds
        self.maximum = max(1, maximum)
        self.rows = min(FIRST_ROWS, self.maximum)

    def measured(self, rows: int, seconds: float) -> None:
        """Takes into account that so many rows took so long."""
        if not rows:
            return
        fitting = int(rows * self._seconds / max(seconds, 1e-9))
        with self._lock:
            # A batch that is smaller than the others says less than they do.
            if rows < self.rows and seconds <= self._seconds:
                return
            self.rows = max(1, min(fitting, rows * _MAX_GROWTH, self.maximum))

    @contextlib.contextmanager
    def measuring(self, rows: int) -> Iterator[None]:
        """Within it, so many rows are called; if they fail, that says nothing."""
        started = time.monotonic()
        yield
        self.measured(rows, time.monotonic() - started)


def cut(source: Iterable[pa.RecordBatch], size: BatchSize) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a source in batches as large as they should be: large ones are cut
    without a copy, small ones are joined.
    """
    waiting: list[pa.RecordBatch] = []
    rows = size_in_bytes = 0
    for batch in source:
        if not batch.num_rows:
            continue
        if batch.num_rows < size.rows:
            waiting.append(batch)
            rows += batch.num_rows
            size_in_bytes += size_of_rows(batch)
            if rows < size.rows and size_in_bytes < MAX_BYTES:
                continue
            whole = joined(waiting)
        else:
            whole = [*joined(waiting), batch]
        waiting, rows, size_in_bytes = [], 0, 0
        for each in whole:
            yield from _slices(each, size)
    for each in joined(waiting):
        yield from _slices(each, size)


def joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Returns all rows of some batches in one batch; as they are where Arrow cannot join them. Only
    batches that follow each other and have the same ordered dictionaries are joined.
    """
    made: list[pa.RecordBatch] = []
    for run in _runs(batches):
        try:
            made.append(run[0] if len(run) == 1 else pa.concat_batches(run))
        except (
            pa.ArrowNotImplementedError,
            pa.ArrowInvalid,
        ):  # dictionaries of some types, for example
            made += run
    return made


def _runs(batches: Sequence[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Yields batches that are joined."""
    if not batches:
        return
    types = batches[0].schema.types
    ordered = [index for index, type_ in enumerate(types) if has_order(type_)]
    run = [batches[0]]
    for batch in batches[1:]:
        if all(
            are_joined_in_order([run[-1].column(index), batch.column(index)], types[index])
            for index in ordered
        ):
            run.append(batch)
        else:
            yield run
            run = [batch]
    yield run


def taken(column: pa.Array, rows: Sequence[int]) -> pa.Array:
    """Returns the values of some rows.

    >>> taken(pa.array(["a", "b", "c"], pa.string_view()), [0, 1, 1]).to_pylist()
    ['a', 'b', 'b']
    """
    indices = pa.array(rows, pa.int64())
    try:
        return column.take(indices)
    except pa.ArrowNotImplementedError:  # of views, runs and what holds these
        pass
    try:
        values = convert(column, decoded(column.type)).take(indices)
    except (Refused, pa.ArrowNotImplementedError):  # a union of these
        return rows_singly(column, rows)
    return restored(values, column.type)


def _slices(batch: pa.RecordBatch, size: BatchSize) -> Iterator[pa.RecordBatch]:
    """Yields parts of a batch that has rows."""
    bytes_per_row = size_of_rows(batch) / batch.num_rows
    fitting = MAX_ROWS if bytes_per_row * MAX_ROWS <= MAX_BYTES else int(MAX_BYTES / bytes_per_row)
    start = 0
    while start < batch.num_rows:
        left = batch.num_rows - start
        rows = max(1, min(size.rows, fitting))
        rows = left if left < rows * 5 // 4 else rows  # no small rest
        yield batch.slice(start, rows)
        start += min(rows, left)
