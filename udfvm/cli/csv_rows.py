"""Rows of CSV, as they come: of files and pipes, in bounded memory, with Ctrl-C noticed."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv

from udfvm.cli.places import STANDARD, Reading
from udfvm.errors import SourceError

_BLOCK: Final = 1 << 20  # bytes that are read at once, and that tell the types of columns
_MAX_QUOTED: Final = 16 << 20  # bytes after which quotes that do not match are no longer waited for
_MAX_LINE: Final = 256 << 20
_MISREAD: Final = re.compile(
    r"(?:In CSV column #(?P<column>\d+): |CSV parse error: )Row #(?P<row>\d+): (?P<what>.*)", re.S
)


def read_csv(file: io.BufferedReader, reading: Reading, label: str) -> pa.RecordBatchReader:
    """Returns a reader of CSV. The first line has the names of the columns.

    Columns that are arguments have the parameters' types. The types of others are told by the
    first MiB, unless they are read as text. Raises SourceError, and what reading raises.
    """
    blocks = _blocks(file, at_once=1 if reading.verbatim else _BLOCK, label=label)
    first = next(blocks, b"")
    with _telling(label, (), reading, -1):
        names = _parsed(first, {}, None).column_names
    types = {name: each for name, each in reading.types.items() if _is_readable(each)}
    absent = next((name for name in reading.texts if name not in names), None)
    if absent is not None:
        raise SourceError(f"{label}: it has no column {absent!r}; it has {', '.join(names)}")
    types |= dict.fromkeys(reading.texts, pa.string())
    if reading.verbatim:
        types = {**dict.fromkeys(names, pa.string()), **types}
    with _telling(label, names, reading, -1):
        table = _parsed(first, types, None)
    schema = pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_null(field.type) else field
            for field in table.schema
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.cast(schema).to_batches()
        rows = table.num_rows
        for block in blocks:
            with _telling(label, names, reading, rows):
                made = _parsed(block, dict(_pairs(schema)), names)
            yield from made.to_batches()
            rows += made.num_rows

    return pa.RecordBatchReader.from_batches(schema, batches())


def _pairs(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    for field in schema:
        yield field.name, field.type


def _parsed(block: bytes, types: dict[str, pa.DataType], names: list[str] | None) -> Any:
    options = pyarrow.csv.ReadOptions(
        column_names=names, use_threads=False, block_size=len(block) + 1
    )
    return pyarrow.csv.read_csv(
        io.BytesIO(block),
        read_options=options,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types),
    )


@contextlib.contextmanager
def _telling(label: str, names: Sequence[str], reading: Reading, before: int) -> Iterator[None]:
    """Raises SourceError for what is not as it should be in a block, with its place in the source.
    Rows count from 0, as those of errors of calls do: ``before`` is how many come before the block,
    less the line of names in it.
    """
    try:
        yield
    except pa.ArrowInvalid as error:
        source = "standard input" if label == STANDARD else label
        text = str(error).rstrip(".")
        found = _MISREAD.match(text)
        if found is None:
            raise SourceError(f"{source}: {text}") from error
        where = f"{source}: row {int(found['row']) - 1 + before}"
        if found["column"] is None:
            raise SourceError(f"{where}: {found['what']}") from error
        column = names[int(found["column"])]
        if column in reading.types and column not in reading.texts:
            ways = "correct the field, leave it empty if it is null, or declare another type"
        else:
            ways = "read the column as text by --text COLUMN"
        raise SourceError(f"{where}, column {column!r}: {found['what']}: {ways}") from error


def _blocks(file: Any, at_once: int, label: str) -> Iterator[bytes]:
    """Yields whole lines, at least so many bytes of them, as soon as they are there."""
    waiting = bytearray()
    while data := file.read1(_BLOCK):
        waiting += data
        end = _end_of_rows(waiting)
        if len(waiting) >= at_once and end:
            yield bytes(waiting[:end])
            del waiting[:end]
            at_once = 1
        elif len(waiting) > _MAX_LINE:
            raise SourceError(f"{label}: a line is longer than {_MAX_LINE >> 20} MiB: is it CSV?")
    if waiting:
        yield bytes(waiting)


def _end_of_rows(data: bytearray) -> int:
    """Returns where the last whole row ends; 0 if none does. A line's end between quotes is part of
    a value.
    """
    end = data.rfind(b"\n") + 1
    if len(data) > _MAX_QUOTED:
        return end
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _is_readable(type_: pa.DataType) -> bool:
    """Whether CSV can be read as a type. Others are read as they look, and cast."""
    try:
        options = pyarrow.csv.ConvertOptions(column_types={"x": type_})
        pyarrow.csv.read_csv(io.BytesIO(b"x\n"), convert_options=options)
    except pa.ArrowException:
        return False
    return True
