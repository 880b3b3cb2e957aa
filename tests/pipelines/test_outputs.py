"""Files that pipelines write: their format is the one that the suffix names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import udfvm
import udfvm.pipelines.sinks


@udfvm.udf
def half(x: float) -> float:
    return x / 2


SOURCE = pa.table({"x": [1.5, None, 3.0], "name": ["a", "b,c", 'd"']})
MADE = SOURCE.append_column("half", pa.array([0.75, None, 1.5]))


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.pq", "out.PARQUET"])
def test_parquet(tmp_path: Path, name: str) -> None:
    assert half.map(SOURCE, output=tmp_path / name).rows == 3
    assert pq.read_table(tmp_path / name).equals(MADE)


def test_row_groups_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udfvm.pipelines.sinks, "_GROUP_ROWS", 500)
    source = pa.table({"x": [float(row) for row in range(1234)]})
    half.map(source, output=tmp_path / "out.parquet", keep=[])
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        assert file.read()["half"].to_pylist() == [row / 2 for row in range(1234)]
    assert groups == [500, 500, 234]


@pytest.mark.parametrize("name", ["out.arrow", "out.feather", "out.ipc"])
def test_arrow(tmp_path: Path, name: str) -> None:
    half.map(SOURCE, output=str(tmp_path / name))
    assert pyarrow.feather.read_table(tmp_path / name).equals(MADE)
    with pa.ipc.open_file(tmp_path / name) as file:
        assert file.read_all().equals(MADE)


def test_csv(tmp_path: Path) -> None:
    half.map(SOURCE, output=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == '"x","name","half"'
    assert pyarrow.csv.read_csv(tmp_path / "out.csv").equals(MADE)


def test_csv_has_no_lists(tmp_path: Path) -> None:
    source = pa.table({"x": [1.0], "tags": [["a"]]})
    with pytest.raises(udfvm.OutputFileError, match=r"out\.csv: .*write \.parquet or \.arrow"):
        half.map(source, output=tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.xlsx", "out.json", "out.csv.gz", "out.2024"])
def test_other_suffixes(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        udfvm.OptionError, match=r"^UDF 'half': output=.*Parquet \(\.parquet, \.pq\), .* and no \."
    ):
        half.map(SOURCE, output=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_and_its_file_keeps_its_permissions(tmp_path: Path) -> None:
    file, link = tmp_path / "made.parquet", tmp_path / "link.parquet"
    file.touch()
    file.chmod(0o640)
    link.symlink_to(file)
    half.map(SOURCE, output=link)
    assert link.is_symlink() and pq.read_table(file).equals(MADE)
    assert file.stat().st_mode & 0o777 == 0o640
    link.unlink()
    link.symlink_to(tmp_path / "new.parquet")
    half.map(SOURCE, output=link)
    assert link.is_symlink() and pq.read_table(tmp_path / "new.parquet").equals(MADE)


@pytest.mark.parametrize(
    ("make", "text"), [(Path.mkdir, "Is a directory"), (os.mkfifo, "device, pipe or socket: .*")]
)
def test_what_is_no_file_stays_and_nothing_is_called(
    make: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    make(tmp_path / "out.parquet")
    mode = (tmp_path / "out.parquet").stat().st_mode
    read = []
    rows = (read.append(batch) or batch for batch in SOURCE.to_batches())  # type: ignore[func-returns-value]
    with pytest.raises(udfvm.OutputFileError, match=f"cannot write .*out.parquet: .*{text}"):
        half.map(
            pa.RecordBatchReader.from_batches(SOURCE.schema, rows), output=tmp_path / "out.parquet"
        )
    assert (tmp_path / "out.parquet").stat().st_mode == mode and not read
    assert [each.name for each in tmp_path.iterdir()] == ["out.parquet"]
