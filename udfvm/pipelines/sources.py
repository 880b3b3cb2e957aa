"""Sources of pipelines: whatever holds or streams rows of Arrow, read a batch at a time.

Files are read by a thread of their own (``ahead``), because Arrow does not notice Ctrl-C, and by
options that keep few rows in memory: Arrow's defaults read whole files ahead. Readers and streams
of others are read by the consumer's thread: they may belong to it, and end by Ctrl-C themselves.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.errors import Error, SourceError, SourceNotFoundError, TypeMappingError
from udfvm.pipelines.ahead import ahead
from udfvm.pipelines.batches import MAX_BYTES, MAX_ROWS
from udfvm.pipelines.sinks import is_path
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_SCAN_ROWS: Final = 1 << 16  # rows of a batch of a dataset, however many bytes these have
_READ_AHEAD: Final = 2  # batches that a scan of a dataset reads ahead
_BUFFER: Final = 1 << 20  # bytes of a column of a Parquet file that are read at once


class Source(NamedTuple):
    """Rows.

    Attributes:
        schema: their columns.
        rows: how many there are; None if that is not known before the end.
        read: yields them with some of the columns, which have these names, in this order.
    """

    schema: pa.Schema
    rows: int | None
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def open_source(function: str, source: object) -> Source:
    """Opens a source. Raises TypeMappingError for an object that is none, and SourceError for one
    that cannot be read, which reading raises, too.

    >>> open_source("half", pa.table({"x": [1.0, 2.0]})).rows
    2
    """
    with _failing(function, source):
        opened = _opened(function, source)

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with _failing(function, source):
            yield from opened.read(columns)

    return opened._replace(read=read)


@contextlib.contextmanager
def _failing(function: str, source: object) -> Iterator[None]:
    """Raises SourceError for what the system or pyarrow raise; what the caller's own code does
    passes, and what functions do that make the rows.
    """
    try:
        yield
    except (Error, MemoryError):
        raise
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        found = f"its source, a {type(source).__name__}"
        if is_path(source):
            found = os.fspath(source) if number else f"{os.fspath(source)} as Parquet"
            if not number:
                reason = reason.rstrip(".") + (
                    "; of a file in another format, pass"
                    " pyarrow.dataset.dataset(path, format='csv') or the like"
                )
        cls = SourceNotFoundError if isinstance(error, FileNotFoundError) else SourceError
        made = cls(f"UDF {function!r}: map() cannot read {found}: {reason}")
        made.errno, made.filename = number, source if is_path(source) else None
        raise made from error


def _opened(function: str, source: object) -> Source:
    if isinstance(source, (str, os.PathLike)):
        return _of_path(Path(source))
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if isinstance(source, pa.Table):
        return _of_table(source)
    if isinstance(source, pa.RecordBatchReader):
        return _of_reader(source)
    return _of_library(function, source) or _of_capsules(function, source)


def _of_library(function: str, source: Any) -> Source | None:
    """Opens an object of a library that is loaded; None for others."""
    dataset: Any = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(source, dataset.Dataset):
        return _of_dataset(source)
    if dataset is not None and isinstance(source, dataset.Scanner):
        return _of_scanner(source)
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        from udfvm.codec.pandas_columns import table_of

        return _of_table(table_of(function, source))
    polars: Any = sys.modules.get("polars")
    if polars is not None and isinstance(source, polars.DataFrame):
        from udfvm.codec.polars_columns import check_frame

        check_frame(function, source)
    return None


def _of_capsules(function: str, source: Any) -> Source:
    try:
        if hasattr(source, "__arrow_c_stream__"):
            return _of_reader(pa.RecordBatchReader.from_stream(source))
        if hasattr(source, "__arrow_c_array__") or hasattr(source, "__arrow_c_device_array__"):
            batch = pa.record_batch(source)
            if not getattr(batch, "is_cpu", True):
                raise TypeError("they are in the memory of a device")
            return _of_table(pa.Table.from_batches([batch]))
    except (pa.ArrowException, TypeError) as error:
        raise TypeMappingError(
            f"UDF {function!r}: the source of map(), a {type(source).__name__}, has no columns with"
            f" names: {error}"
        ) from error
    advice = ": pass its .collect()" if hasattr(source, "collect") else ""
    raise TypeMappingError(
        f"UDF {function!r}: map() takes a pyarrow Table, RecordBatch, RecordBatchReader, Dataset or"
        " Scanner, the path of a Parquet file, a frame of pandas or polars, or an object with"
        f" __arrow_c_stream__; got {type(source).__name__}{advice}"
    )


def _of_table(table: pa.Table) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(columns).to_reader()

    return Source(table.schema, table.num_rows, read)


def _of_reader(reader: pa.RecordBatchReader) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with reader:
            for batch in reader:
                yield batch.select(columns)

    return Source(reader.schema, None, read)


def _of_scanner(scanner: ds.Scanner) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(batch.select(columns) for batch in scanner.to_reader())

    return Source(scanner.projected_schema, None, read)


def _of_dataset(dataset: ds.Dataset) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(_scanned(dataset, columns))

    return Source(dataset.schema, None, read)


def _scanned(dataset: Any, columns: Sequence[str]) -> Generator[pa.RecordBatch]:
    """Yields the rows of a dataset. With threads, a scan would read up to 1 GiB ahead."""
    yield from dataset.scanner(
        columns=list(columns),
        batch_size=_SCAN_ROWS,
        batch_readahead=_READ_AHEAD,
        fragment_readahead=1,
        fragment_scan_options=_buffered(dataset),
        use_threads=False,
    ).to_reader()


def _buffered(dataset: Any) -> Any:
    """Returns the options of a dataset's files, but such that Parquet files are read bit by bit;
    None for the dataset's own.
    """
    found: Any = getattr(getattr(dataset, "format", None), "default_fragment_scan_options", None)
    # A copy of the options would not have the keys of encrypted files.
    if getattr(found, "type_name", "") != "parquet" or found.parquet_decryption_config is not None:
        return None
    options = copy.copy(found)
    options.pre_buffer = False
    options.use_buffered_stream = True
    options.buffer_size = _BUFFER
    return options


def _of_path(path: Path) -> Source:
    if path.is_dir():
        import pyarrow.dataset as ds

        return _of_dataset(ds.dataset(path, format="parquet", partitioning="hive"))
    if path.is_fifo():  # Arrow would wait for a writer, and does not notice Ctrl-C
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
    with _parquet_file(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(_parquet_rows(path, columns))

    return Source(schema, rows, read)


def _parquet_rows(path: Path, columns: Sequence[str]) -> Generator[pa.RecordBatch]:
    with _parquet_file(path) as file:
        for batch in file.iter_batches(_rows_at_once(file.metadata), columns=list(columns)):
            yield batch.select(columns)


def _parquet_file(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)


def _rows_at_once(metadata: Any) -> int:
    """Returns how many rows of a Parquet file are read at once: few, if they have many bytes."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    widest = max((each.total_byte_size / max(each.num_rows, 1) for each in groups), default=0)
    return max(1, min(MAX_ROWS, int(MAX_BYTES / max(widest, 1))))
