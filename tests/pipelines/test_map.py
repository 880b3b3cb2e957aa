"""``map``: functions over all rows of a source."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pipeline_functions import ROWS, doubled, inverse, numbers, table_with

import udfvm
import udfvm.pipelines.mapping


@udfvm.udf
def described(text: str, count: int = 2) -> str:
    return text * count


class Capsules:
    """An object with the interface of Arrow streams alone."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def parquet_of(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "numbers.parquet", row_group_size=7000)
    return folder / "numbers.parquet"


def folder_of(table: pa.Table, folder: Path) -> Path:
    ds.write_dataset(table, folder / "many", format="parquet", max_rows_per_group=9000)
    return folder / "many"


def many_of(table: pa.Table, folder: Path) -> Path:
    (folder / "parts").mkdir()
    for part in range(3):
        pq.write_table(table[part * 11_000 :][:11_000], folder / "parts" / f"{part}.parquet")
    return folder / "parts"


SOURCES: dict[str, Callable[[pa.Table, Path], Any]] = {
    "table": lambda table, _: table,
    "chunks": lambda table, _: pa.concat_tables([table[:3], table[3:20_000], table[20_000:]]),
    "record batch": lambda table, _: table.combine_chunks().to_batches()[0],
    "reader": lambda table, _: table.to_reader(100),
    "dataset": lambda table, _: ds.dataset(table),
    "scanner": lambda table, _: ds.dataset(table).scanner(),
    "parquet": parquet_of,
    "parquet, as text": lambda table, folder: str(parquet_of(table, folder)),
    "folder": folder_of,
    "pandas": lambda table, _: table.to_pandas(),
    "polars": lambda table, _: pl.from_arrow(table),
    "capsules": lambda table, _: Capsules(table),
    "dict": lambda table, _: table.to_pydict(),
    "dict of arrays": lambda table, _: {
        "x": pl.Series(table["x"]), "name": table["name"].to_pandas()
    },
    "batches": lambda table, _: table.to_batches(100),
    "iterator of batches": lambda table, _: iter([table[:7], *table[7:].to_batches(100)]),
    "ParquetFile": lambda table, folder: pq.ParquetFile(parquet_of(table, folder)),
    "paths": lambda table, folder: sorted(many_of(table, folder).iterdir()),
    "iterator of paths": lambda table, folder: iter(sorted(many_of(table, folder).iterdir())),
    "pattern": lambda table, folder: many_of(table, folder) / "*.parquet",
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source(source: Callable[[pa.Table, Path], Any], tmp_path: Path) -> None:
    table = numbers()
    result = inverse.map(source(table, tmp_path))
    assert result.column_names == ["x", "name", "inverse"]
    assert result["x"].equals(table["x"])
    assert result["name"].to_pylist() == table["name"].to_pylist()
    assert result["inverse"].to_pylist() == [1 / x for x in table["x"].to_pylist()]


def test_an_index_of_pandas_comes_back() -> None:
    frame = pd.DataFrame({"x": [1, 2, 4]}, index=["a", "b", "c"])
    made = inverse.map(frame).to_pandas()
    assert list(made.index) == ["a", "b", "c"]
    assert made["inverse"].tolist() == [1.0, 0.5, 0.25]


def test_an_empty_source() -> None:
    made = inverse.map(numbers(0))
    assert made.num_rows == 0
    assert made.schema.field("inverse").type == pa.float64()


# ---- Columns ----


def test_columns_in_order_by_parameter_and_by_default() -> None:
    table = pa.table({"a": ["x", "y"], "b": [1, 3]})
    assert described.map(table, columns="a", keep=[]).to_pydict() == {"described": ["xx", "yy"]}
    in_order = described.map(table, columns=["a", "b"], keep=["b"])
    assert in_order.to_pydict() == {"b": [1, 3], "described": ["x", "yyy"]}
    by_name = described.map(table, columns={"count": "b", "text": "a"}, keep="a")
    assert by_name.to_pydict() == {"a": ["x", "y"], "described": ["x", "yyy"]}
    named = described.map(table.rename_columns(["text", "b"]), keep=[])
    assert named.to_pydict() == {"described": ["xx", "yy"]}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "map\\(\\) finds no column for parameter 'text'"),
        ({"columns": "c"}, "columns= names 'c', and the source has no column of that name"),
        ({"columns": ["a", "b", "a"]}, "columns= names 3 columns for 2 parameters"),
        ({"columns": {"word": "a"}}, "columns= names a parameter 'word'"),
        ({"columns": "a", "keep": ["c"]}, "keep= names 'c'"),
        ({"columns": "a", "keep": ["b", "b"]}, "keep= names 'b' more than once"),
        ({"columns": "a", "keep": [["b"]]}, r"keep= names \['b'\], and the source has no column"),
        ({"columns": "a", "keep": 7}, "keep=7 must be the name of a column, or a list of them"),
        ({"columns": 7}, "columns=7 must be the name of a column, or a list of them"),
        ({"columns": "a", "output": 7}, "output=7 must be"),
        ({"columns": "a", "threads": 0}, "threads=0 must be from 1"),
        ({"columns": "a", "progress": 7}, "progress=7 must be"),
        ({"columns": "a", "on_error": "stop"}, "on_error='stop' must be"),
        ({"columns": "a", "timeout_per_row": 0}, "timeout_per_row=0 must be"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(udfvm.OptionError, match=text):
        described.map(pa.table({"a": ["x"], "b": [1]}), **options)


def test_a_column_may_have_an_empty_name() -> None:
    source = pa.table({"": ["a", "b"]})
    assert described.map(source, columns="", keep=[])["described"].to_pylist() == [
        described("a"),
        described("b"),
    ]


def test_a_column_of_the_result_has_its_own_name() -> None:
    table = pa.table({"x": [1], "inverse": [2]})
    with pytest.raises(udfvm.OptionError, match="the source has a column 'inverse'"):
        inverse.map(table)
    assert inverse.map(table, keep=["x"]).column_names == ["x", "inverse"]
    assert inverse.with_options(name="other").map(table).column_names == ["x", "inverse", "other"]
    doubled = pa.table([[1.0], [2.0]], names=["x", "x"])
    with pytest.raises(udfvm.OptionError, match=r"several columns named 'x'.*rename_columns"):
        inverse.map(doubled)


def test_a_column_of_another_type_is_refused_before_any_row() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        raise AssertionError("read")
        yield

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.string())]), rows())
    with pytest.raises(udfvm.TypeMappingError, match="argument 'x'"):
        inverse.map(reader)


def test_vectorised_functions_work_row_by_row_or_not_at_all() -> None:
    @udfvm.udf(vectorized=True)
    def share(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x / x.sum()

    with pytest.raises(udfvm.SignatureError, match="declare elementwise=True"):
        share.map(pa.table({"x": [1.0, 3.0]}))
    table = numbers(first=100)
    made = doubled.map(table, keep=[])["doubled"].to_pylist()
    assert made == [2 * x for x in table["x"].to_pylist()]


# ---- Outputs ----


def test_a_parquet_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    done = inverse.map(numbers(), output=target)
    assert isinstance(done, udfvm.Progress)
    assert (done.rows, done.total, done.failed) == (ROWS, ROWS, 0)
    assert pq.read_table(target)["inverse"][3].as_py() == 0.25
    before = target.read_bytes()
    with pytest.raises(udfvm.UDFError):
        inverse.map(table_with({20_000: 0}), output=str(target))
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_a_reader_computes_as_it_is_read() -> None:
    read = 0

    def endless() -> Iterator[pa.RecordBatch]:
        nonlocal read
        while True:
            read += 1
            yield pa.record_batch({"x": list(range(1, 257))})

    source = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), endless())
    reader = inverse.map(source, output=pa.RecordBatchReader, threads=2)
    assert reader.schema.names == ["x", "inverse"]
    first = reader.read_next_batch()
    assert first["inverse"][1].as_py() == 0.5
    del reader
    assert read < 20_000
    assert not [each for each in threading.enumerate() if each.name.startswith("udfvm-map")]


def test_a_writer_of_the_caller_gets_the_batches() -> None:
    sink = pa.BufferOutputStream()
    schema = pa.schema([("inverse", pa.float64())])
    with pa.ipc.new_stream(sink, schema) as writer:
        done = inverse.map(numbers(), keep=[], output=writer)
    assert done.rows == ROWS
    assert pa.ipc.open_stream(sink.getvalue()).read_all().num_rows == ROWS


# ---- Threads ----


def test_few_batches_are_in_flight_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is never far ahead of the results, however fast it is."""
    monkeypatch.setattr(udfvm.pipelines.mapping, "TARGET", 0.02)
    made = taken = most = 0

    def source() -> Iterator[pa.RecordBatch]:
        nonlocal made, most
        for start in range(0, 100 * 512, 512):
            made += 512
            most = max(most, made - taken)
            yield pa.record_batch({"x": np.arange(start + 1, start + 513)})

    @udfvm.udf
    def slow(x: int) -> int:
        for _ in range(2000):
            pass
        return x

    reader = slow.map(
        pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), source()),
        output=pa.RecordBatchReader,
        threads=2,
    )
    for batch in reader:
        taken += batch.num_rows
    assert taken == 100 * 512
    assert most < taken / 2


def test_more_threads_than_vms_share_the_vms() -> None:
    with udfvm.Pool(size=1) as pool:
        bound = inverse.with_options(pool=pool)
        assert bound.map(numbers(), threads=8).num_rows == ROWS
        assert pool.statistics().live == 1


def test_host_functions_are_called_by_the_threads() -> None:
    def price(x: int) -> int:
        return x + 1

    @udfvm.udf(host_functions=[price])
    def cost(x: int) -> int:
        return price(x)

    assert cost.map(numbers(1000), keep=[])["cost"].to_pylist() == list(range(2, 1002))


ENDLESS = """
    import os, signal
    import pyarrow as pa
    import udfvm

    def begun(x: int) -> None:
        os.write(1, b"ready\\n")  # one write: two threads do it

    @udfvm.udf(timeout=None, host_functions=[begun])
    def endless(x: int) -> int:
        begun(x)
        while True:
            pass

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        endless.map(pa.table({"x": list(range(5000))}), threads=2)
    except KeyboardInterrupt:
        names = [each.name for each in __import__("threading").enumerate()]
        print("ended", [name for name in names if name.startswith("udfvm-map")], flush=True)
"""


def test_ctrl_c_ends_the_calls_of_all_threads() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ENDLESS)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(2):  # both threads are within a call
            assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert rest == "ended []\n"
    assert process.returncode == 0


def test_threads_end_where_the_source_raises() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"x": [1, 2]})
        raise LookupError("no more")

    source = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), rows())
    with pytest.raises(udfvm.SourceError, match="batch 2, from row 2 on: LookupError: no more"):
        inverse.map(source)
    assert not [each for each in threading.enumerate() if each.name.startswith("udfvm-map")]


NARROW = pa.dictionary(pa.int8(), pa.int64())


def _or_fails(x):  # type: ignore[no-untyped-def]
    if x < 0:
        raise ValueError(x)
    return x


def _numbered(x):  # type: ignore[no-untyped-def]
    for each in range(x):
        yield {"i": each}


@pytest.mark.parametrize("on_error", ["raise", "null", "skip"])
@pytest.mark.parametrize("type_", [NARROW, pa.run_end_encoded(pa.int16(), pa.int64())], ids=str)
@pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")
def test_results_that_one_batch_cannot_hold(type_: pa.DataType, on_error: Any) -> None:
    function = udfvm.udf(_or_fails, name="own", input_types=["int64"], output_type=type_)
    count = 3000 if type_ == NARROW else 100_000
    values = [*range(count)]
    if on_error != "raise":
        values[count // 2] = -1
    made = function.map({"x": values}, on_error=on_error)
    expected: list[int | None] = [None if value < 0 else value for value in values]
    if on_error == "skip":
        expected.remove(None)
        values.remove(-1)
    assert made["x"].to_pylist() == values
    assert [each for part in made["own"].chunks for each in part.to_pylist()] == expected
    with pytest.raises(udfvm.TypeMappingError, match="declare the result as int64, or as a type"):
        function(pa.array(range(count)))


def test_rows_of_a_table_that_one_batch_cannot_hold() -> None:
    function = udfvm.table_function(
        _numbered, name="numbered", input_types=["int64"], columns={"i": NARROW}
    )
    made = function.map({"x": [3, 1000, 200]})
    counts = [0, 1, 2, *range(1000), *range(200)]
    assert [each for part in made["i"].chunks for each in part.to_pylist()] == counts
    assert made["x"].to_pylist() == [3] * 3 + [1000] * 1000 + [200] * 200
