"""Where the results of pipelines go: tables, readers, files, writers of the caller."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, TypeGuard

import pyarrow as pa

from udfvm.checks import shown
from udfvm.codec.sizes import size_of_rows
from udfvm.errors import OptionError, OutputFileError
from udfvm.pipelines.ahead import behind
from udfvm.pipelines.formats import FORMATS, Results, UnwritableError

_GROUP_ROWS: Final = 1 << 20  # rows that are written at once: of Parquet, a row group
_GROUP_BYTES: Final = 64 << 20


Batches = Generator[pa.RecordBatch]


def is_path(output: object) -> TypeGuard[str | os.PathLike[str]]:
    """Returns True for the path of a file."""
    return isinstance(output, (str, os.PathLike))


def check_output(output: object) -> None:
    """Raises OptionError for what cannot take results."""
    known = output is None or output is pa.Table or output is pa.RecordBatchReader
    if is_path(output):
        _check_suffix(Path(output))
    if known or is_path(output) or callable(getattr(output, "write_batch", None)):
        return
    raise OptionError(
        f"output={shown(output)} must be None, pyarrow.Table, pyarrow.RecordBatchReader, the path"
        " of a file, or an object with write_batch()"
    )


def _check_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise OptionError(
            f"output={shown(str(path))}: map() writes Parquet (.parquet, .pq), Arrow IPC (.arrow,"
            f" .feather, .ipc) and CSV (.csv) files, by the suffix, and no {suffix}: for another"
            " format, leave output= out, and write the table that map() returns"
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


def write_file(function: str, path: Path, schema: pa.Schema, batches: Batches) -> None:
    """Writes results to a file of the format that its suffix names. It is there once it is whole:
    until then it has another name, and is removed if the pipeline fails. Raises OutputFileError.
    """
    with contextlib.closing(batches):
        file = _File(function, path)
        try:
            file.create(schema)
            behind(_groups(schema, batches), file.write)
            file.publish()
        except BaseException:
            file.remove()
            raise


class _File:
    """A file that is not whole. All methods but ``remove`` raise OutputFileError."""

    def __init__(self, function: str, path: Path) -> None:
        """Creates nothing: a signal may end any line, and what is created is to be removed."""
        self._function = function
        self._path = path
        with self._failing():
            self._permissions = _permissions(path)
            target = Path(os.path.realpath(path))  # where a symbolic link leads: the link stays
            self._target = target
            self._part = target.with_name(f".{target.name}.{secrets.token_hex(8)}")

    def create(self, schema: pa.Schema) -> None:
        """Creates the file under its other name. ``remove`` is to follow if this fails."""
        path, permissions = self._path, self._permissions
        with self._failing():
            self._file = self._part.open("xb")
            if permissions is not None:
                with contextlib.suppress(OSError):  # file systems that have none
                    os.fchmod(self._file.fileno(), permissions)
        try:
            with self._failing():
                format_ = FORMATS[path.suffix.lower()]
                self._results = Results(format_, schema)
                self._writer = format_.writer(self._file, self._results.schema)
        except BaseException:
            self._close()
            raise

    def write(self, groups: Iterator[pa.Table]) -> None:
        """Writes groups of rows, and closes the file, which belongs to the thread that does it."""
        try:
            with self._failing():
                for group in groups:
                    self._write_group(self._results.of(group))
                self._writer.close()
                self._file.close()
        except BaseException:
            with contextlib.suppress(OSError, pa.ArrowException):  # the first failure is told
                self._writer.close()
            self._close()
            raise

    def _write_group(self, group: pa.Table) -> None:
        try:
            self._writer.write_table(group, _GROUP_ROWS)
        except pa.ArrowException as error:
            raise self._results.why_not(group, error) from error

    def publish(self) -> None:
        """Gives the file its name."""
        with self._failing():
            self._part.replace(self._target)

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
        except (OSError, pa.ArrowException, UnwritableError) as error:
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else str(error).rstrip(".")
            made = OutputFileError(
                f"UDF {self._function!r}: map() cannot write {self._path}: {reason}"
            )
            made.errno, made.filename = number, self._path
            raise made from (error.__cause__ if isinstance(error, UnwritableError) else error)


def _permissions(path: Path) -> int | None:
    """Returns the permissions of a file that will be replaced; None if there is none. Raises
    OSError for what a file must not replace.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(
            "it is a device, pipe or socket: pass a writer of pyarrow, such as"
            " pyarrow.ipc.new_stream(), or another object with write_batch()"
        )
    return stat.S_IMODE(mode)


def _groups(schema: pa.Schema, batches: Batches) -> Iterator[pa.Table]:
    """Yields row groups, each of many batches."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for part in _parts(batch, _GROUP_ROWS - rows):
            group.append(part)
            rows += part.num_rows
            size += size_of_rows(part)
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                yield pa.Table.from_batches(group, schema)
                group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group, schema)


def _parts(batch: pa.RecordBatch, fitting: int) -> Iterator[pa.RecordBatch]:
    """Yields a batch in parts of which none ends in another group. So many rows fit into this one.

    The writer would make a small row group of what is left over.
    """
    start, end = 0, fitting
    while start < batch.num_rows:
        yield batch.slice(start, end - start)
        start, end = end, end + _GROUP_ROWS
