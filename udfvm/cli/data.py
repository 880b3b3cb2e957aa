"""What commands read and write: files, tables of SQLite, standard input and output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
import pyarrow as pa

from udfvm.cli.places import STANDARD, Place, Reading
from udfvm.errors import OutputFileError, SourceError
from udfvm.functions.function import Function
from udfvm.guest_text import shown
from udfvm.types.arrow_types import Parameter

_STREAM: Final = b"\xff\xff\xff\xff"  # how a stream of Arrow IPC begins


def argument_types(
    function: Function, columns: Sequence[str] | dict[str, str] | None
) -> dict[str, pa.DataType]:
    """Returns the types of the columns that are arguments, as the function declares them."""
    parameters: Sequence[Parameter] = function.parameters
    if isinstance(columns, dict):
        names = {columns[each.name]: each for each in parameters if each.name in columns}
    elif columns is not None:
        names = dict(zip(columns, parameters, strict=False))
    else:
        names = {each.name: each for each in parameters}
    return {name: each.type.arrow for name, each in names.items()}


def open_source(place: Place, reading: Reading) -> tuple[Any, str]:
    """Opens what ``map`` reads. Returns it, and the format that it turned out to have. Raises
    SourceError.
    """
    if place.table is not None:
        from udfvm.cli.sqlite_tables import read_table

        return read_table(place.path, place.table, reading), place.format
    if not place.is_standard and place.format == "parquet":
        return place.text, place.format
    with failing(str(place)):
        if not place.is_standard and place.format == "arrow":
            import pyarrow.dataset as ds

            return ds.dataset(place.text, format="ipc"), place.format
        file = _standard_input() if place.is_standard else place.path.open("rb")
        found = place.format or ("arrow" if _begins_with_stream(file) else "csv")
        if found == "arrow":
            return pa.ipc.open_stream(file), found
        from udfvm.cli.csv_rows import read_csv

        return read_csv(file, reading, str(place)), found


def _standard_input() -> Any:
    if sys.stdin is None:
        raise SourceError("standard input is closed: pipe rows into it, or name a file")
    return sys.stdin.buffer


def _begins_with_stream(file: io.BufferedReader) -> bool:
    return file.peek(len(_STREAM))[: len(_STREAM)] == _STREAM


@contextlib.contextmanager
def failing(label: str) -> Iterator[None]:
    """Raises SourceError for what reading raises within it."""
    try:
        yield
    except SourceError:
        raise
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        made = SourceError(f"{'standard input' if label == STANDARD else label}: {reason}")
        made.errno = getattr(error, "errno", None)
        raise made from error


# ---- Outputs ----


def check_output(place: Place, replace: bool) -> None:
    """Raises OutputFileError for an output that exists and is not to be replaced, and UsageError
    for Arrow on a terminal.
    """
    if place.is_standard:
        if place.format == "arrow" and sys.stdout is not None and sys.stdout.isatty():
            raise click.UsageError("Arrow is not for terminals: pass -o FILE, or --format csv")
        return
    if place.table is None and not replace and place.path.exists():
        raise OutputFileError(
            f"{place} exists already: pass --replace, or another name for the output"
        )


def write_standard(reader: pa.RecordBatchReader, format_: str, file: Any) -> None:
    """Writes rows to standard output, each batch as soon as it is made. Raises OutputFileError for
    a type that the format does not have.
    """
    from udfvm.pipelines.formats import ARROW, CSV, Results, UnwritableError

    try:
        results = Results(ARROW if format_ == "arrow" else CSV, reader.schema)
        if format_ == "arrow":
            options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
            with pa.ipc.new_stream(file, results.schema, options=options) as writer:
                for batch in reader:
                    writer.write_table(results.of(pa.Table.from_batches([batch])))
                    file.flush()
        else:
            _write_csv(reader, results, file)
    except UnwritableError as error:
        raise OutputFileError(f"standard output: {error}") from error
    file.flush()


def _write_csv(reader: pa.RecordBatchReader, results: Any, file: Any) -> None:
    """Writes CSV. On a terminal, control characters are written out: a stranger may send them."""
    import pyarrow.csv

    def write(table: pa.Table, *, header: bool) -> None:
        made = pa.BufferOutputStream()
        options = pyarrow.csv.WriteOptions(include_header=header)
        try:
            pyarrow.csv.write_csv(table, made, options)
        except pa.ArrowException as error:
            raise results.why_not(table, error) from error
        data = made.getvalue()
        file.write(shown(data.to_pybytes()).encode() if file.isatty() else data)
        file.flush()

    write(results.schema.empty_table(), header=True)
    for batch in reader:
        write(results.of(pa.Table.from_batches([batch])), header=False)
