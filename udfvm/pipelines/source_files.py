"""Files, datasets and scanners as sources, and what to do about those that Arrow cannot read."""

from __future__ import annotations

import copy
import errno
import glob
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.errors import SourceError, SourceNotFoundError
from udfvm.pipelines.ahead import ahead
from udfvm.pipelines.batches import MAX_BYTES, MAX_ROWS
from udfvm.pipelines.sinks import is_path
from udfvm.pipelines.source_rows import Source

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_SCAN_ROWS: Final = 1 << 16  # rows of a batch of a dataset, however many bytes these have
_READ_AHEAD: Final = 2  # batches that a scan of a dataset reads ahead
_BUFFER: Final = 1 << 20  # bytes of a column of a Parquet file that are read at once
_MAGIC: Final = (b"PAR1", b"PARE")  # the latter with an encrypted footer
_SQLITE: Final = b"SQLi"
#: What ``pyarrow.dataset.dataset`` calls other formats, by the suffix of files.
_FORMATS: Final = {
    ".arrow": "arrow",
    ".feather": "feather",
    ".ipc": "arrow",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".orc": "orc",
}


def of_path(function: str, source: str | os.PathLike[str]) -> Source:
    """Opens a Parquet file, a folder of them, or all that match a pattern."""
    path = Path(source)
    if not os.fspath(source):  # which is the current folder for pathlib
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if path.is_dir():
        return _of_folder(function, path)
    if not path.exists():
        text = os.fspath(source)
        if "://" in text:
            raise SourceError(
                f"UDF {function!r}: map() reads local files; of {text}, pass"
                " pyarrow.dataset.dataset(uri)"
            )
        if glob.has_magic(text):
            return _of_pattern(function, text)
    if path.is_fifo():  # Arrow would wait for a writer, and does not notice Ctrl-C
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
    with _parquet_file(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(_parquet_rows(path, columns))

    return Source(schema, rows, read)


def _of_folder(function: str, path: Path) -> Source:
    import pyarrow.dataset as ds

    found: Any = ds.dataset(path, format="parquet", partitioning="hive")
    if not found.files:
        raise SourceError(
            f"UDF {function!r}: map() cannot read {path}: the folder has no files; those whose"
            " names begin with . or _ do not count"
        )
    return of_dataset(found)


def _of_pattern(function: str, pattern: str) -> Source:
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise SourceNotFoundError(
            f"UDF {function!r}: map() cannot read {pattern}: no file has such a name"
        )
    return of_paths(function, paths)


def of_paths(function: str, paths: Iterable[Any]) -> Source:
    """Opens Parquet files, which are read one after the other."""
    import pyarrow.dataset as ds

    names = []
    for path in paths:
        if not is_path(path):
            raise SourceError(
                f"UDF {function!r}: map() cannot read its source: what follows the path of a file"
                f" is of class {type(path).__name__}"
            )
        names.append(os.fspath(path))
        found = Path(path)
        number = errno.EISDIR if found.is_dir() else errno.ESPIPE if found.is_fifo() else 0
        if number or not found.exists():
            number = number or errno.ENOENT
            raise OSError(number, os.strerror(number), path)
    return of_dataset(ds.dataset(names, format="parquet"))


def of_parquet_file(file: Any) -> Source:
    """Opens a ``pyarrow.parquet.ParquetFile``, which stays open."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(_batches(file, columns))

    return Source(file.schema_arrow, file.metadata.num_rows, read)


def of_scanner(scanner: ds.Scanner) -> Source:
    """Opens a scanner, which reads as it was made to."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return ahead(batch for batch in scanner.to_reader())

    return Source(scanner.projected_schema, None, read)


def of_dataset(dataset: ds.Dataset) -> Source:
    """Opens a dataset, of which few rows are read ahead."""

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
    format_: Any = getattr(dataset, "format", None)
    if getattr(format_, "default_extname", "") != "parquet":
        return None  # options of Arrow files cannot even be looked at
    found = format_.default_fragment_scan_options
    # A copy of the options would not have the keys of encrypted files.
    if found is None or found.parquet_decryption_config is not None:
        return None
    options = copy.copy(found)
    options.pre_buffer = False
    options.use_buffered_stream = True
    options.buffer_size = _BUFFER
    return options


def _parquet_rows(path: Path, columns: Sequence[str]) -> Generator[pa.RecordBatch]:
    with _parquet_file(path) as file:
        yield from _batches(file, columns)


def _batches(file: Any, columns: Sequence[str]) -> Generator[pa.RecordBatch]:
    yield from file.iter_batches(_rows_at_once(file.metadata), columns=list(columns))


def _parquet_file(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)


def _rows_at_once(metadata: Any) -> int:
    """Returns how many rows of a Parquet file are read at once: few, if they have many bytes."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    widest = max((each.total_byte_size / max(each.num_rows, 1) for each in groups), default=0)
    return max(1, min(MAX_ROWS, int(MAX_BYTES / max(widest, 1))))


# ---- What to do about files that Arrow cannot read ----


def advice_on(source: object, columns: Sequence[str] | None) -> str:
    """Returns what is the matter with the files of a source that Arrow cannot read, and what to do;
    nothing if they are sound.

    ``columns`` are those that were read; None if their types were not compared yet.
    """
    files = _files(source)
    is_single = is_path(source) and len(files) == 1 and Path(source) == files[0]
    for file in files:
        found = _advice_on_file(file, None if is_single else source)
        if found:
            return found
    return _advice_on_types(source, files, columns) if len(files) > 1 else ""


def _files(source: Any) -> list[Path]:
    """Returns the files that a source is said to have Parquet in."""
    dataset: Any = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(source, dataset.FileSystemDataset):
        is_parquet = source.format.default_extname == "parquet"
        return [Path(each) for each in source.files if is_parquet and os.path.isfile(each)]
    if isinstance(source, (list, tuple)):
        return [Path(each) for each in source if is_path(each)]
    if not is_path(source):
        return []
    path = Path(source)
    if path.is_dir():
        found = (each for each in path.rglob("*") if each.is_file())
        return sorted(each for each in found if not _is_hidden(each.relative_to(path)))
    return [path] if path.is_file() else [Path(each) for each in sorted(glob.glob(str(path)))]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _advice_on_file(file: Path, among: object) -> str:
    """Returns what is the matter with one file, which may be one of several, ``among``."""
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as opened:
            begin = opened.read(4)
        if begin in _MAGIC:
            pq.read_metadata(file)
            return ""
    except (OSError, pa.ArrowException):
        return f"{file} is damaged, or was not written to its end: write it again"
    suffix = file.suffix.lower()
    if is_path(among) and Path(among).is_dir():
        pattern = Path(among) / "**" / "*.parquet"
        return (
            f"the folder has other files than Parquet, such as {file}: pass a pattern"
            f" ({str(pattern)!r}) or a list of paths"
        )
    if not begin:
        return f"{file} is empty"
    if begin == _SQLITE:
        return (
            f"{file} is a database of SQLite, not Parquet: register the function on a connection,"
            " and call it in SQL"
        )
    format_ = _FORMATS.get(suffix, "csv")
    like = "" if suffix in (*_FORMATS, ".csv") else " or the like"
    return (
        f"{file} is not Parquet: of a file in another format, pass"
        f" pyarrow.dataset.dataset(path, format={format_!r}){like}"
    )


def _advice_on_types(source: object, files: Sequence[Path], columns: Sequence[str] | None) -> str:
    """Returns which column has different types in two files; nothing if there is none."""
    import pyarrow.parquet as pq

    first: dict[str, tuple[pa.DataType, Path]] = {}
    for file in files:
        for field in pq.read_schema(file):
            if columns is not None and field.name not in columns:
                continue
            type_, other = first.setdefault(field.name, (field.type, file))
            if type_ != field.type:
                return (
                    f"; column {field.name!r} is {type_} in {other}, and {field.type} in {file}:"
                    " pass pyarrow.dataset.dataset(paths, schema=...) with a type that both have,"
                    " or write the files again"
                )
    return ""
