"""Sources of pipelines: whatever holds or streams rows of Arrow, read a batch at a time.

Files are read by a thread of their own (``ahead``), because Arrow does not notice Ctrl-C, and by
options that keep few rows in memory: Arrow's defaults read whole files ahead. Readers and streams
of others are read by the consumer's thread: they may belong to it, and end by Ctrl-C themselves.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from udfvm.errors import Error, SourceError, SourceNotFoundError, TypeMappingError
from udfvm.pipelines.broken import Checker
from udfvm.pipelines.sinks import is_path
from udfvm.pipelines.source_files import (
    advice_on,
    of_dataset,
    of_parquet_file,
    of_path,
    of_paths,
    of_scanner,
)
from udfvm.pipelines.source_objects import (
    Wanted,
    of_batches,
    of_capsules,
    of_mapping,
    of_pandas,
    of_polars,
    what_to_pass,
)
from udfvm.pipelines.source_rows import Source, of_table


def open_source(
    function: str, source: object, wanted: Wanted = None, *, with_index: bool = True
) -> Source:
    """Opens a source.

    Args:
        function: the function's name.
        source: what the caller passed.
        wanted: the columns that may be read; None for all. Where columns are converted one by one,
            others are not: their type is null.
        with_index: False if the index of a frame is needed only where ``wanted`` names it.

    Raises TypeMappingError for an object that is no source, and for a column that Arrow has no
    counterpart for; SourceError for one that cannot be read, which reading raises, too.

    >>> open_source("half", pa.table({"x": [1.0, 2.0]})).rows
    2
    """
    reading = _Reading(function, source)
    with reading.failing():
        opened = _opened(function, source, wanted, with_index)
        schema = opened.schema

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        reading.columns = columns
        with reading.failing():
            for batch in opened.read(columns):
                yield reading.checked(batch, schema)
                reading.batch += 1
                reading.row += batch.num_rows

    return opened._replace(read=read)


class _Reading:
    """How far a source was read, for errors.

    Attributes:
        columns: those that are read.
        batch: the number of the batch that is read, from 1.
        row: how many rows came before it.
    """

    def __init__(self, function: str, source: object) -> None:
        self._function = function
        self._source = source
        self.columns: Sequence[str] | None = None
        self.batch, self.row = 1, 0
        self._checkers: defaultdict[str, Checker] = defaultdict(Checker)

    def checked(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """Returns the columns of a batch. Raises SourceError unless they are what the source's
        schema says, and sound.
        """
        assert self.columns is not None
        if not isinstance(batch, pa.RecordBatch):
            raise self._error(f"it is of class {type(batch).__name__}, no record batch")
        indices = []
        for name in self.columns:
            index = batch.schema.get_field_index(name)
            if index < 0:
                raise self._error(
                    f"it has no column {name!r}, which the source's schema has: all batches need"
                    " the columns of the schema"
                )
            found, declared = batch.schema.field(index).type, schema.field(name).type
            if not found.equals(declared):
                raise self._error(
                    f"its column {name!r} is {found}, which is {declared} in the source's schema:"
                    " cast it first"
                )
            wrong = self._checkers[name].damage(batch.column(index))
            if wrong:
                raise self._error(
                    f"the buffers of its column {name!r} contradict each other ({wrong}): make it"
                    " anew; array.validate(full=True) of pyarrow finds such columns"
                )
            indices.append(index)
        return batch.select(indices)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Raises SourceError for whatever is raised within it, but for errors of other functions
        that make the rows, and for lack of memory.
        """
        try:
            yield
        except (Error, MemoryError):
            raise
        except BaseException as error:
            # Panics of Rust, and so of polars, are no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise self._of(error) from error

    def _of(self, error: BaseException) -> SourceError:
        number = getattr(error, "errno", None)
        if number:
            reason, filename = os.strerror(number), getattr(error, "filename", None)
            found, arrow, _ = str(getattr(error, "strerror", "")).partition(". Detail: ")
            if arrow and not (is_path(self._source) and os.fspath(self._source) in found):
                reason = f"{found}: {reason}"  # which names the file
        else:
            is_of_arrow = isinstance(error, (OSError, pa.ArrowException))
            reason = str(error).rstrip(".") if is_of_arrow else f"{type(error).__name__}: {error}"
            advice = advice_on(self._source, self.columns) if is_of_arrow else ""
            # What pyarrow says of such a file is the same, in more words, and its cause has it.
            reason = (
                advice if "not Parquet" in advice else "; ".join(filter(None, [reason, advice]))
            )
            filename = None
        cls = SourceNotFoundError if isinstance(error, FileNotFoundError) else SourceError
        made = self._error(reason, filename, cls, of_parquet=not number)
        made.errno = number
        return made

    def _error(
        self,
        reason: str,
        filename: object = None,
        cls: type[SourceError] = SourceError,
        *,
        of_parquet: bool = False,
    ) -> SourceError:
        """Returns the error for a reason.

        Args:
            reason: what is the matter.
            filename: what the system says that it is about.
            cls: the class of the error.
            of_parquet: True if a file may be in another format.
        """
        source = self._source
        if is_path(source):
            found, filename = os.fspath(source) + " as Parquet" * of_parquet, source
        else:
            found = f"its source, a {type(source).__name__}"
            if is_path(filename):
                found = os.fspath(filename)
        if self.columns is not None:
            found += f": batch {self.batch}, from row {self.row} on"
        made = cls(f"UDF {self._function!r}: map() cannot read {found}: {reason}")
        made.filename = filename
        return made


def _opened(function: str, source: Any, wanted: Wanted, with_index: bool) -> Source:
    if is_path(source):
        return of_path(function, source)
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if isinstance(source, pa.Table):
        return of_table(source)
    if isinstance(source, pa.RecordBatchReader):
        return Source(source.schema, None, lambda _: _read(source))
    found = _of_library(function, source, wanted, with_index) or of_capsules(function, source)
    if found is not None:
        return found
    if isinstance(source, Mapping):
        return of_mapping(function, source, wanted)
    if isinstance(source, (list, tuple, Iterator)) and not isinstance(source, io.IOBase):
        return _of_items(function, source)
    raise TypeMappingError(what_to_pass(function, source))


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with reader:
        yield from reader


def _of_library(function: str, source: Any, wanted: Wanted, with_index: bool) -> Source | None:
    """Opens an object of a library that is loaded; None for others."""
    dataset: Any = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(source, dataset.Dataset):
        return of_dataset(source)
    if dataset is not None and isinstance(source, dataset.Scanner):
        return of_scanner(source)
    parquet: Any = sys.modules.get("pyarrow.parquet")
    if parquet is not None and isinstance(source, parquet.ParquetFile):
        return of_parquet_file(source)
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, (pandas.DataFrame, pandas.Series)):
        return of_pandas(function, source, wanted, with_index=with_index)
    polars: Any = sys.modules.get("polars")
    if polars is not None and isinstance(source, (polars.DataFrame, polars.Series)):
        return of_polars(function, source, wanted)
    return None


def _of_items(function: str, source: Any) -> Source:
    """Opens a list or iterator of paths, or of record batches and tables."""
    items = iter(source)
    first = next(items, None)
    if is_path(first):
        return of_paths(function, [first, *items])
    if isinstance(first, (pa.RecordBatch, pa.Table)):
        return of_batches(first, items)
    raise TypeMappingError(what_to_pass(function, source, first))
