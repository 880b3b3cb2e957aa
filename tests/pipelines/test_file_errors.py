"""Files of ``map`` that cannot be read or written: errors name the UDF and the file."""

from __future__ import annotations

import errno
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pipeline_functions import inverse, numbers

import udfvm


@udfvm.table_function(columns={"interval": pa.duration("s")})
def nothing(x: int) -> Any:
    yield None


@udfvm.aggregate
class Total:
    """A sum."""

    def __init__(self) -> None:
        self.sum = 0

    def step(self, x: int) -> None:
        self.sum += x

    def finish(self) -> int:
        return self.sum


@pytest.mark.parametrize("function", [inverse, nothing, Total], ids=lambda each: each.name)
def test_a_file_that_does_not_exist(function: Any, tmp_path: Path) -> None:
    absent = tmp_path / "absent.parquet"
    for path in (absent, str(absent)):
        with pytest.raises(udfvm.SourceNotFoundError) as caught:
            function.map(path)
        error = caught.value
        assert isinstance(error, udfvm.SourceError) and isinstance(error, FileNotFoundError)
        assert str(error) == (
            f"UDF {function.name!r}: map() cannot read {absent}: No such file or directory"
        )
        assert (error.errno, error.filename) == (errno.ENOENT, path)
        assert isinstance(error.__cause__, FileNotFoundError)
        again = pickle.loads(pickle.dumps(error))
        assert (again.errno, again.filename, str(again)) == (errno.ENOENT, path, str(error))


def test_a_file_that_is_damaged_behind_its_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "numbers.parquet"
    pq.write_table(numbers(), path, row_group_size=7000, compression="none")
    content = bytearray(path.read_bytes())
    begin = pq.ParquetFile(path).metadata.row_group(3).column(0).data_page_offset
    content[begin : begin + 64] = b"\xff" * 64
    path.write_bytes(content)
    for source in (path, ds.dataset(path)):
        with pytest.raises(
            udfvm.SourceError, match=r"UDF 'inverse': map\(\) cannot read"
        ) as caught:
            inverse.map(source)
        assert isinstance(caught.value.__cause__, (OSError, pa.ArrowException))


def test_what_an_inner_pipeline_raises_passes() -> None:
    @udfvm.udf(timeout=0.2)
    def endless(x: int) -> int:
        while x:
            pass
        return x

    inner = endless.map(numbers(10), output=pa.RecordBatchReader)
    with pytest.raises(udfvm.CallTimeoutError, match="UDF 'endless'"):
        inverse.map(inner)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "made.parquet"
    with pytest.raises(udfvm.OutputFileError) as caught:
        inverse.map(numbers(10), output=path)
    assert isinstance(caught.value, OSError)
    assert str(caught.value) == (
        f"UDF 'inverse': map() cannot write {path}: No such file or directory"
    )
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, path)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    path.mkdir()
    text = re.escape(f"map() cannot write {path}: Is a directory")
    with pytest.raises(udfvm.OutputFileError, match=text):
        inverse.map(numbers(10), output=path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_takes_no_files() -> None:
    with pytest.raises(udfvm.OutputFileError, match=r"cannot write /proc/made: "):
        inverse.map(numbers(10), output="/proc/made")


def test_a_column_that_parquet_does_not_have(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2], "m": pa.array([None, None], pa.month_day_nano_interval())})
    path = tmp_path / "made.parquet"
    text = rf"UDF 'inverse': map\(\) cannot write {re.escape(str(path))}: .*month_day_nano_interval"
    with pytest.raises(udfvm.OutputFileError, match=text) as caught:
        inverse.map(table, output=path)
    assert isinstance(caught.value.__cause__, pa.ArrowException)
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_no_parquet_file(tmp_path: Path) -> None:
    """Nor is its writer waited for."""
    os.mkfifo(tmp_path / "in.parquet")
    with pytest.raises(udfvm.SourceError, match=r"cannot read .*in\.parquet: Illegal seek"):
        nothing.map(tmp_path / "in.parquet")
