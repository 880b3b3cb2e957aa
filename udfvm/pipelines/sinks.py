"""Where the results of pipelines go: tables, readers, Parquet files, writers of the caller."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from udfvm.errors import OptionError

_GROUP_ROWS: Final = 1 << 20  # rows of a row group of a Parquet file
_GROUP_BYTES: Final = 64 << 20

Batches = Generator[pa.RecordBatch]


def is_path(output: object) -> bool:
    """Returns True for the path of a file to write."""
    return isinstance(output, (str, os.PathLike))


def check_output(output: object) -> None:
    """Raises OptionError for what cannot take results."""
    known = output is None or output is pa.Table or output is pa.RecordBatchReader
    if known or is_path(output) or callable(getattr(output, "write_batch", None)):
        return
    raise OptionError(
        f"output={output!r:.100} must be None, pyarrow.Table, pyarrow.RecordBatchReader, the path"
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


def write_parquet(path: Path, schema: pa.Schema, batches: Batches) -> None:
    """Writes results to a Parquet file, which is there once it is whole: until then it has another
    name, and is removed if the pipeline fails.
    """
    import pyarrow.parquet as pq

    with contextlib.closing(batches):
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with part.open("xb") as file, pq.ParquetWriter(file, schema) as writer:
                _write_groups(writer, schema, batches)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _write_groups(writer: Any, schema: pa.Schema, batches: Batches) -> None:
    """Writes row groups, each of many batches."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            writer.write_table(pa.Table.from_batches(group, schema), _GROUP_ROWS)
            group, rows, size = [], 0, 0
    if group:
        writer.write_table(pa.Table.from_batches(group, schema), _GROUP_ROWS)
