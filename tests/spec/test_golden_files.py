"""The golden files of Arrow and Parquet come back from guests as they were: validity, values, type.

``UDFVM_GOLDEN`` names the folders: clones of apache/arrow-testing and apache/parquet-testing,
separated by a colon. A few files that pyarrow writes are always tested.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from encoded_values import EXTENSIONS, LEAVES, Columns
from golden_files import difference, failures, files_in, read

_FOLDERS = [Path(folder) for folder in os.environ.get("UDFVM_GOLDEN", "").split(":") if folder]
_FILES = [path for folder in _FOLDERS for path in files_in(folder)]
# What a scalar function cannot be given: Python has no such time.
_PYTHON_HAS_NOT = "scalar functions take"
_UNDECLARED = ("month_interval", "day_time_interval")


def _is_expected(column: str, reason: str, vectorized: bool) -> bool:
    if _PYTHON_HAS_NOT in reason:
        return not vectorized
    return "is not a supported type" in reason and any(each in column for each in _UNDECLARED)


def _wrong(table: pa.Table, vectorized: bool) -> list[str]:
    return [
        f"{column}: {reason}"
        for column, reason in failures(table, vectorized)
        if reason and not _is_expected(column, reason, vectorized)
    ]


@pytest.mark.skipif(not _FILES, reason="UDFVM_GOLDEN names no folder of golden files")
@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize("path", _FILES, ids=[f"{each.parent.name}/{each.name}" for each in _FILES])
def test_golden_file(path: Path, vectorized: bool) -> None:
    try:
        table = read(path)
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        pytest.skip(f"pyarrow does not read it: {error}")
    assert not _wrong(table, vectorized)


def _generated() -> pa.Table:
    columns = Columns(random.Random(5))
    types = [*LEAVES, *EXTENSIONS]
    types += [columns.any_type(2) for _ in range(12)]
    arrays = [columns.of(type_, 9) for type_ in types]
    return pa.table(arrays, names=[f"c{index}" for index in range(len(arrays))])


@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize("suffix", [".arrow_file", ".stream", ".parquet"])
def test_generated_file(tmp_path: Path, suffix: str, vectorized: bool) -> None:
    table, path = _generated(), tmp_path / f"generated{suffix}"
    if suffix == ".parquet":
        plain = [index for index, type_ in enumerate(table.schema.types) if type_ in LEAVES]
        pa.parquet.write_table(table.select(plain), path)
    else:
        new = pa.ipc.new_file if suffix == ".arrow_file" else pa.ipc.new_stream
        with new(path, table.schema) as writer:
            writer.write_table(table)
    found = read(path)
    assert found.num_rows == 9
    assert not _wrong(found, vectorized)


def test_a_difference_is_found() -> None:
    column = pa.chunked_array([[1, None]])
    assert difference(column, column) == ""
    assert "other values" in difference(column, pa.chunked_array([[1, 2]]))
    assert "rows" in difference(column, pa.chunked_array([[1]]))
    assert "came back as" in difference(column, column.cast(pa.int8()))
