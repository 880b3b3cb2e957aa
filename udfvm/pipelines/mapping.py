"""Pipelines of functions that give rows for rows: scalar, vectorised and table functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, get_args

import pyarrow as pa

from udfvm.checks import MIN_SECONDS, check_choice, check_count, check_seconds, options_of
from udfvm.errors import Error
from udfvm.pipelines.batches import MAX_ROWS, TARGET, BatchSize, cut, taken
from udfvm.pipelines.columns import Arguments, Columns, Parameters, kept_columns, listed_names
from udfvm.pipelines.failures import Failure, OnError
from udfvm.pipelines.labels import index_columns, labels_of
from udfvm.pipelines.progress import Counter, Progress, display_of
from udfvm.pipelines.sinks import (
    Batches,
    check_output,
    collected,
    is_path,
    write_batches,
    write_file,
)
from udfvm.pipelines.source_rows import Source
from udfvm.pipelines.sources import open_source
from udfvm.pipelines.workers import in_order, processors
from udfvm.tuples import NamedTuple

MAX_THREADS: Final = 256
_WHOLE_BATCH: Final = 2.0  # seconds that a batch has at most, where rows have a deadline
_MANY_BATCHES: Final = 8  # should fit the deadline of a call


class Made(NamedTuple):
    """Some of what comes of a batch.

    Attributes:
        columns: that the function makes.
        rows: the indices of the batch's rows that theirs belong to, in order; None if these are the
            batch's own rows.
        done: how many more rows of the batch nothing else will come of.
        failed: how many of these failed.
        failure: the error of the first of them.
    """

    columns: list[pa.Array]
    rows: Sequence[int] | None
    done: int
    failed: int = 0
    failure: Failure | None = None


class Done(NamedTuple):
    """Some of the result; how many rows of the input are done with it, how many of these failed,
    and how the first of them did.
    """

    batch: pa.RecordBatch
    rows: int
    failed: int
    failure: Failure | None


class Mapped(Protocol):
    """A function, as pipelines know it. Several threads call it at once."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def fields(self) -> Sequence[pa.Field]:
        """The columns that it makes."""

    @property
    def is_table(self) -> bool:
        """Whether it makes any number of rows for a row."""

    def map_batch(
        self,
        arguments: Arguments,
        batch: pa.RecordBatch,
        first_row: int,
        on_error: OnError,
    ) -> Iterator[Made]:
        """Calls it with the rows of a batch, and yields what comes of them. ``first_row`` is the
        index of the first.
        """


class MapOptions(NamedTuple):
    """Options of ``map``, as users write them."""

    columns: Columns
    keep: Sequence[str] | None
    output: Any
    threads: int | None
    progress: Any
    on_error: OnError
    timeout_per_row: float | None


def checked_threads(name: str, threads: int | None, max_vms: int) -> int:
    """Returns how many threads call at once: as many as there are processors, if none are given,
    and never more than the pool has VMs. Raises OptionError.
    """
    if threads is None:
        return min(processors(), max_vms)
    return min(check_count(f"UDF {name!r}: threads", threads, 1, MAX_THREADS), max_vms)


def checked_timeout(name: str, timeout_per_row: float | None) -> float | None:
    """Returns the seconds that a row has. Raises OptionError."""
    if timeout_per_row is None:
        return None
    return check_seconds(f"UDF {name!r}: timeout_per_row", timeout_per_row, MIN_SECONDS)


def nanoseconds(seconds: float | None) -> int | None:
    """Returns a deadline as calls take it."""
    return None if seconds is None else max(1, int(seconds * 1e9))


def batch_size(timeout_ns: int, timeout_per_row: float | None) -> BatchSize:
    """Returns how large batches are, for a function with these deadlines."""
    if timeout_per_row is not None:
        return BatchSize(maximum=min(MAX_ROWS, int(_WHOLE_BATCH / timeout_per_row)))
    return BatchSize(min(TARGET, timeout_ns / 1e9 / _MANY_BATCHES) if timeout_ns else TARGET)


def map_source(
    function: Mapped,
    parameters: Parameters,
    source: object,
    options: MapOptions,
    size: BatchSize,
    max_vms: int,
) -> pa.Table | pa.RecordBatchReader | Progress:
    """Runs a pipeline.

    Args:
        function: what is called.
        parameters: its parameters.
        source: where the rows are.
        options: what the caller said.
        size: how large batches are.
        max_vms: how many VMs there may be.

    Returns what came of it, or for a file or writer how far it came.
    """
    threads = checked_threads(function.name, options.threads, max_vms)
    with options_of(f"UDF {function.name!r}"):
        check_choice("on_error", options.on_error, get_args(OnError))
        check_output(options.output)
    keep, wanted = options.keep, None
    if keep is not None:
        keep = listed_names(function.name, "keep", keep)
        texts = (name for name in keep if isinstance(name, str))
        wanted = parameters.wanted(options.columns).union(texts)
    opened = open_source(function.name, source, wanted)
    found = parameters.among(options.columns, opened.schema)
    made = [field.name for field in function.fields]
    index = index_columns(opened.schema) if opened.is_frame else ()
    kept = kept_columns(function.name, keep, opened.schema, made, index)
    labels = labels_of(
        opened.schema,
        opened.rows,
        kept,
        function.fields,
        next(name for name in found.columns if name is not None),
        all_columns=keep is None,
        has_index=keep is None or opened.is_frame,
        as_column=function.is_table
        or options.on_error == "skip"
        or (opened.is_frame and options.output is pa.RecordBatchReader),
    )
    fields = [*(opened.schema.field(name) for name in kept), *function.fields]
    if labels.column is not None:
        fields.insert(len(kept), labels.column)
    schema = pa.schema(fields, metadata=labels.schema_metadata())
    counter = Counter(function.name, display_of(options.progress, function.name), opened.rows)

    def work(numbered: tuple[int, pa.RecordBatch]) -> Generator[Done]:
        first_row, batch = numbered
        seconds, failed = 0.0, 0  # without the time in which the consumer takes what was made
        parts = function.map_batch(found, batch, first_row, options.on_error)
        while True:
            started = time.monotonic()
            with found.naming_columns():
                part = next(parts, None)
            seconds += time.monotonic() - started
            if part is None:
                break
            failed += part.failed
            of_source = [batch.column(name) for name in kept]
            if part.rows is not None:
                of_source = [taken(column, part.rows) for column in of_source]
            of_source += labels.of_rows(first_row, batch.num_rows, part.rows)
            made = pa.RecordBatch.from_arrays([*of_source, *part.columns], schema=schema)
            yield Done(made, part.done, part.failed, part.failure)
        if not failed:
            size.measured(batch.num_rows, seconds)

    names = list(dict.fromkeys([*kept, *(name for name in found.columns if name is not None)]))
    batches = _results(opened, names, size, work, threads, counter, options.on_error)
    delivered = _delivered(function.name, options.output, schema, batches, counter)
    return labels.of_table(delivered) if isinstance(delivered, pa.Table) else delivered


def _results(
    source: Source,
    names: Sequence[str],
    size: BatchSize,
    work: Callable[[tuple[int, pa.RecordBatch]], Generator[Done]],
    threads: int,
    counter: Counter,
    on_error: OnError,
) -> Batches:
    results = in_order(numbered(cut(source.read(names), size)), work, threads, counter.look)
    try:
        for done in results:
            counter.add(done.rows, done.failed, done.failure)
            if done.batch.num_rows:
                yield done.batch
        counter.warn("are null" if on_error == "null" else "were left out")
    except Error as error:
        error.drop_frames()  # a reader of batches is called by users
        raise
    finally:
        results.close()
        counter.close()


def numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yields batches, each with the index of its first row."""
    first_row = 0
    for batch in batches:
        yield first_row, batch
        first_row += batch.num_rows


def _delivered(
    function: str, output: Any, schema: pa.Schema, batches: Batches, counter: Counter
) -> pa.Table | pa.RecordBatchReader | Progress:
    if output is None or output is pa.Table:
        return collected(schema, batches)
    if output is pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(schema, batches)
    if is_path(output):
        write_file(function, Path(output), schema, batches)
    else:
        write_batches(output, batches)
    return counter.progress()
