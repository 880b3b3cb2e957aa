"""Reading the sources of pipelines: few rows at a time, in order, as they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pipeline_functions import inverse

from udfvm.pipelines.ahead import ahead, behind
from udfvm.pipelines.sources import open_source

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")

ROWS = 1 << 21  # of random numbers, which Parquet does not make smaller


@pytest.fixture(scope="module", params=["one row group", "many"])
def large_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    random = np.random.default_rng(1)
    table = pa.table({name: random.random(ROWS) for name in "xyz"})
    pq.write_table(
        table, path, row_group_size=ROWS if request.param == "one row group" else 1 << 15
    )
    return path


def most_memory(source: Any) -> int:
    """Returns the most memory that Arrow had while all rows were read, in bytes."""
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in open_source("f", source).read(["x", "y", "z"]):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == ROWS
    return most


def test_few_rows_of_a_file_are_in_memory(large_file: Path) -> None:
    assert most_memory(large_file) < ROWS * 24 / 2


def test_few_rows_of_a_dataset_are_in_memory(large_file: Path) -> None:
    if pq.ParquetFile(large_file).num_row_groups > 1:
        assert most_memory(ds.dataset(large_file)) < ROWS * 24 / 2


def test_long_rows_are_read_in_small_batches(tmp_path: Path) -> None:
    long = [np.random.default_rng(row).bytes(1 << 20) for row in range(40)]
    pq.write_table(pa.table({"x": long}), tmp_path / "long.parquet")
    sizes = [each.num_rows for each in open_source("f", tmp_path / "long.parquet").read(["x"])]
    assert sum(sizes) == 40 and max(sizes) <= 16


@pytest.mark.parametrize(
    "kept",
    [
        pa.array(["a long text that does not fit into a view", None, "c"], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"]),
        pa.array([["a"], None, ["b", "c"]], pa.list_(pa.string_view())),
        pa.UnionArray.from_sparse(
            pa.array([0, 1, 0], pa.int8()),
            [pa.array(["a", "b", "c"], pa.string_view()), pa.array([1, 2, 3])],
        ),
    ],
    ids=lambda column: str(column.type).partition(" ")[0],
)
def test_kept_columns_that_arrow_takes_no_rows_of(kept: pa.Array) -> None:
    table = pa.table({"x": [1, 0, 4], "kept": kept})
    made = inverse.map(table, on_error="skip")
    assert made["kept"].type == kept.type
    assert made["kept"].to_pylist() == [kept[0].as_py(), kept[2].as_py()]


def test_a_frame_of_polars_has_views_of_text() -> None:
    made = inverse.map(pl.DataFrame({"x": [1, 0], "name": ["one", "none"]}), on_error="skip")
    assert made["name"].to_pylist() == ["one"]


# ---- Threads that read and write ----


def test_few_items_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            made.append(item)
            yield item

    reading: Any = ahead(items())  # type: ignore[arg-type]
    assert [next(reading), next(reading)] == [0, 1]
    reading.close()
    assert len(made) <= 2 + 4
    assert not [each for each in threading.enumerate() if each.name == "udfvm-read"]


def test_errors_pass_from_thread_to_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    found: list[int] = []
    with pytest.raises(LookupError, match="no more"):
        found.extend(ahead(items()))  # type: ignore[arg-type]
    assert found == [1]
    with pytest.raises(LookupError, match="no more"):
        behind(items(), found.extend)

    def consume(given: Iterator[int]) -> None:
        raise BufferError(next(given))

    with pytest.raises(BufferError, match="0"):
        behind(iter(range(1000)), consume)


def test_an_error_while_writing_ends_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="no space"):
        inverse.map(pa.table({"x": [1, 2]}), output=tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())
