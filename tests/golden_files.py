"""Golden files of Arrow and Parquet: each column goes through an identity function, and comes back
as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from encoded_values import decoded_values

import udfvm

SUFFIXES: Final = (".arrow_file", ".stream", ".parquet")
MAX_ROWS: Final = 1000  # of a column: the first


def files_in(folder: Path) -> list[Path]:
    """The files that pyarrow has a reader for; fuzzers' inputs have no valid values."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and "fuzz" not in str(path).lower()
    )


def read(path: Path) -> pa.Table:
    """The first rows of a file. Raises what pyarrow does."""
    if path.suffix == ".parquet":
        return pa.parquet.read_table(path).slice(0, MAX_ROWS)
    opened = pa.ipc.open_file if path.suffix == ".arrow_file" else pa.ipc.open_stream
    with pa.OSFile(str(path)) as source, opened(source) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table.slice(0, MAX_ROWS)


def same(x):  # type: ignore[no-untyped-def]
    return x


_identities: dict[tuple[bytes, bool], udfvm.ScalarFunction] = {}


def _identity(field: pa.Field, vectorized: bool) -> udfvm.ScalarFunction:
    key = pa.schema([field]).serialize().to_pybytes(), vectorized  # not all types can be hashed
    if key not in _identities:
        _identities[key] = identity(field.type, vectorized=vectorized)
    return _identities[key]


def identity(type_: Any, *, vectorized: bool) -> udfvm.ScalarFunction:
    return udfvm.udf(
        same,
        name="same",
        vectorized=vectorized,
        elementwise=True,
        input_types=[type_],
        output_type=type_,
    )


def failures(table: pa.Table, vectorized: bool) -> Iterator[tuple[str, str]]:
    """Each column, and what is wrong with what came back; "" where it is as it was."""
    for field, column in zip(table.schema, table.columns, strict=True):
        try:
            result = _identity(field, vectorized)(column)
        except Exception as error:  # noqa: BLE001 - each is a finding
            yield f"{field.name}: {field.type}", f"{type(error).__name__}: {error}"
            continue
        yield f"{field.name}: {field.type}", difference(column, result)


def difference(column: pa.ChunkedArray, result: pa.ChunkedArray) -> str:
    """What is wrong with what came back of a column; "" if nothing is."""
    if not result.type.equals(column.type, check_metadata=True):
        return f"came back as {result.type}"
    if len(result) != len(column):
        return f"{len(result)} rows came back of {len(column)}"
    result.validate(full=True)
    if result.equals(column):
        return ""
    try:
        is_same = repr(_values(result)) == repr(_values(column))  # NaN is NaN here
    except (ArithmeticError, ValueError, pa.ArrowException):
        is_same = False
    return "" if is_same else "other values came back"


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column. pyarrow ends the process for some runs, which unions cannot hold."""
    if "run_end_encoded" not in str(column.type) or "union" in str(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [value for chunk in column.chunks for value in decoded_values(chunk)]
