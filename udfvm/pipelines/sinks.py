"""Where the results of pipelines go: tables, readers, Parquet files, writers of the caller."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, TypeGuard

import pyarrow as pa

from udfvm.checks import shown
from udfvm.errors import OptionError, OutputFileError
from udfvm.pipelines.ahead import behind

_GROUP_ROWS: Final = 1 << 20  # rows of a row group of a Parquet file
_GROUP_BYTES: Final = 64 << 20

Batches = Generator[pa.RecordBatch]


def is_path(output: object) -> TypeGuard[str | os.PathLike[str]]:
    """Returns True for the path of a file."""
    return isinstance(output, (str, os.PathLike))


def check_output(output: object) -> None:
    """Raises OptionError for what cannot take results."""
    known = output is None or output is pa.Table or output is pa.RecordBatchReader
    if known or is_path(output) or callable(getattr(output, "write_batch", None)):
        return
    raise OptionError(
        f"output={shown(output)} must be None, pyarrow.Table, pyarrow.RecordBatchReader, the path"
        " of a Parquet file, or an object with write_batch()"
    )


def collected(schema: pa.Schema, batches: Batches) -> pa.Table:
    """Returns all results as a table."""
    with contextlib.closing(batches):
        return pa.Table.from_batches(list(batches), schema)


def write_batches(output: Any, batches: Batches) -> None:
    """Gives results to an object that takes record batches, which stays open."""
    with contextlib.closing(batches):
        for batch in batches:
            output.write_batch(batch)


def write_parquet(function: str, path: Path, schema: pa.Schema, batches: Batches) -> None:
    """Writes results to a Parquet file, which is there once it is whole: until then it has another
    name, and is removed if the pipeline fails. Raises OutputFileError.
    """
    with contextlib.closing(batches):
        file = _ParquetFile(function, path, schema)
        try:
            behind(_groups(schema, batches), file.write)
            file.publish()
        except BaseException:
            file.remove()
            raise


class _ParquetFile:
    """A Parquet file that is not whole. All methods but ``remove`` raise OutputFileError."""

    def __init__(self, function: str, path: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._function = function
        self._path = path
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with self._failing():
            self._file = self._part.open("xb")
        try:
            with self._failing():
                self._writer = pq.ParquetWriter(self._file, schema)
        except BaseException:
            self._close()
            self.remove()
            raise

    def write(self, groups: Iterator[pa.Table]) -> None:
        """Writes row groups, and closes the file, which belongs to the thread that does it."""
        try:
            with self._failing():
                for group in groups:
                    self._writer.write_table(group, _GROUP_ROWS)
                self._writer.close()
                self._file.close()
        except BaseException:
            with contextlib.suppress(OSError, pa.ArrowException):  # the first failure is told
                self._writer.close()
            self._close()
            raise

    def publish(self) -> None:
        """Gives the file its name."""
        with self._failing():
            self._part.replace(self._path)

    def remove(self) -> None:
        """Removes what is there of it, even while it is written."""
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else error
            made = OutputFileError(
                f"UDF {self._function!r}: map() cannot write {self._path}: {reason}"
            )
            made.errno, made.filename = number, self._path
            raise made from error


def _groups(schema: pa.Schema, batches: Batches) -> Iterator[pa.Table]:
    """Yields row groups, each of many batches."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(group, schema)
            group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group, schema)
