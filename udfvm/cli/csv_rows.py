"""Rows of CSV, as they come: of files and pipes, in bounded memory, with Ctrl-C noticed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.csv

from udfvm.errors import SourceError

if TYPE_CHECKING:
    from udfvm.cli.places import Reading

_BLOCK: Final = 1 << 20  # bytes that are read at once, and that tell the types of columns
_MAX_QUOTED: Final = 16 << 20  # bytes after which quotes that do not match are no longer waited for
_MAX_LINE: Final = 256 << 20


def read_csv(file: io.BufferedReader, reading: Reading, label: str) -> pa.RecordBatchReader:
    """Returns a reader of CSV. The first line has the names of the columns.

    Columns that are arguments have the parameters' types. The types of others are told by the
    first MiB, unless they are read as text. Raises SourceError, and what reading raises.
    """
    blocks = _blocks(file, at_once=1 if reading.verbatim else _BLOCK, label=label)
    first = next(blocks, b"")
    names = _parsed(first, {}, None).column_names
    types = {name: each for name, each in reading.types.items() if _is_readable(each)}
    absent = next((name for name in reading.texts if name not in names), None)
    if absent is not None:
        raise SourceError(f"{label}: it has no column {absent!r}; it has {', '.join(names)}")
    types |= dict.fromkeys(reading.texts, pa.string())
    if reading.verbatim:
        types = {**dict.fromkeys(names, pa.string()), **types}
    table = _parsed(first, types, None)
    schema = pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_null(field.type) else field
            for field in table.schema
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.cast(schema).to_batches()
        for block in blocks:
            try:
                yield from _parsed(block, dict(_pairs(schema)), names).to_batches()
            except pa.ArrowInvalid as error:
                raise SourceError(_advice(error)) from error

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


def _advice(error: pa.ArrowInvalid) -> str:
    text = str(error).rstrip(".")
    if "conversion error" in text:
        return f"{text}: read the column as text by --text COLUMN"
    return text


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
