"""What cannot be a source, or breaks while it is read: errors name the UDF, the place and a way
out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pipeline_functions import inverse, numbers

import udfvm

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")

TABLE = pa.table({"x": [1, 2]})
(BATCH,) = TABLE.to_batches()


def text_of(error: type[udfvm.Error], source: Any, **options: Any) -> str:
    """Returns the text of the error for a source."""
    with pytest.raises(error) as caught:
        inverse.map(source, **options)
    text = str(caught.value)
    assert text.startswith("UDF 'inverse'") and type(caught.value) is error
    return text


# ---- What is no source ----

NO_SOURCES: dict[str, tuple[Any, str]] = {
    "LazyFrame": (pl.DataFrame({"x": [1]}).lazy(), "got LazyFrame: pass its .collect()"),
    "int": (7, "map() takes a pyarrow Table"),
    "None": (None, "got NoneType"),
    "array": (pa.array([1]), "has no columns with names: pass a table, such as pyarrow.table("),
    "chunked": (pa.chunked_array([[1]]), "a ChunkedArray, has no columns with names"),
    "Series": (pd.Series([1]), "no columns with names: pass a table, such as series.to_frame('x')"),
    "of polars": (pl.Series([1]), "no columns with names: pass a table, such as series.to_frame("),
    "Index": (pd.Index([1]), "got Index: pass a table"),
    "numpy": (np.array([1]), "got ndarray: pass a table"),
    "records": (np.array([(1,)], [("x", "i8")]), "pass {name: array[name] for name in"),
    "rows": ([{"x": 1}], "got a list of dict: pass pyarrow.Table.from_pylist(rows)"),
    "frames": (iter([pd.DataFrame({"x": [1]})]), "pyarrow.record_batch(each) for each in frames"),
    "no items": (
        [],
        "a list, is empty, so its columns are not known: pass a pyarrow.RecordBatchRe",
    ),
    "no batches": (iter([]), "is empty, so its columns are not known"),
    "file": (io.BytesIO(), "pass its path, or pyarrow.parquet.ParquetFile(file)"),
    "numbers": ({0: [1]}, "a dict, needs the names of columns as its keys; it has 0"),
    "empty dict": ({}, "a dict, needs the names of columns as its keys; it has none"),
    "lengths": ({"x": [1], "y": [1, 2]}, "has 1 rows in its column 'x', and 2 in 'y'"),
    "text": (
        {"x": "12"},
        "column 'x' of the source of map() cannot be read as an Arrow array: a st",
    ),
    "mixed": (
        {"x": [1, "a"]},
        "column 'x' of the source of map() cannot be read as an Arrow array",
    ),
    "Int128": (
        pl.DataFrame({"x": pl.Series([1], dtype=pl.Int128)}),
        "column 'x' of the source of map() is of polars dtype Int128, which Arrow has no counter",
    ),
    "objects": (
        pd.DataFrame({"x": [1, "a"]}),
        "column 'x' of the source of map(), of pandas dtype object, cannot be read as an Arrow",
    ),
    "objects in a dict": (
        {"x": pl.Series([object()])},
        "UDF 'inverse': column 'x' of the source of map() is of polars dtype Object, which Arrow",
    ),
    "index": (
        pd.DataFrame({"x": [1, 2]}, index=[1, "a"]),
        "the index of the source of map(), a DataFrame, cannot be read as an Arrow array",
    ),
}


@pytest.mark.parametrize("name", NO_SOURCES)
def test_what_is_no_source_is_refused(name: str) -> None:
    source, text = NO_SOURCES[name]
    assert text in text_of(udfvm.TypeMappingError, source)


def test_series_with_a_name_are_tables() -> None:
    for series in (pd.Series([1, 2], [5, 7], name="x"), pl.Series("x", [1, 2])):
        made = inverse.map(series)
        assert made.select(["x", "inverse"]).to_pydict() == {"x": [1, 2], "inverse": [1.0, 0.5]}
    structs = pl.Series([{"x": 1}, {"x": 2}])
    assert inverse.map(structs).column_names == ["x", "inverse"]


# ---- Columns that nothing reads ----

OBJECTS: Any = [object(), object()]
FRAMES: dict[str, Any] = {
    "pandas": pd.DataFrame({"x": [1, 2], "kept": ["a", "b"], "other": [1, "a"]}),
    "complex": pd.DataFrame({"x": [1, 2], "kept": ["a", "b"], 0: [1j, 2]}),
    "twice": pd.DataFrame([[1, "a", 0, 0], [2, "b", 0, 0]], columns=["x", "kept", "y", "y"]),
    "objects": pl.DataFrame({"x": [1, 2], "kept": ["a", "b"], "other": pl.Series(OBJECTS)}),
    "Int128": pl.DataFrame(
        {"x": [1, 2], "kept": ["a", "b"], "other": pl.Series([1, 2], dtype=pl.Int128)}
    ),
    "dict": {"other": "text", "x": [1, 2], "kept": ["a", "b"]},
}


@pytest.mark.parametrize("name", FRAMES)
def test_columns_that_nothing_reads_are_not_converted(name: str) -> None:
    made = inverse.map(FRAMES[name], keep=["kept"])
    assert made.to_pydict() == {"kept": ["a", "b"], "inverse": [1.0, 0.5]}
    named = inverse.map(FRAMES[name], columns={"x": "x"}, keep="kept")
    assert named.equals(made)
    assert "the source has" in text_of(udfvm.OptionError, FRAMES[name], columns="z", keep=[])


def test_columns_that_have_one_name() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["x", "x"])
    assert "several columns named 'x'" in text_of(udfvm.OptionError, frame)
    assert "frame.set_axis(names, axis=1)" in text_of(udfvm.OptionError, frame, keep=[])


# ---- What breaks while it is read ----


def reader(*batches: pa.RecordBatch) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(TABLE.schema, iter(batches))


class Breaking:
    """An object whose stream, or array, is what ``make`` returns or raises."""

    def __init__(self, make: Callable[[], Any], name: str = "__arrow_c_stream__") -> None:
        self._make = make
        setattr(type(self), name, lambda self, requested_schema=None: self._make())


def raising(error: BaseException) -> Any:
    raise error


def broken_text() -> pa.Array:
    """Offsets in its middle lie outside of the text."""
    offsets = np.array([0, 900, 3, 5], np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"hello")]
    return pa.Array.from_buffers(pa.string(), 3, buffers)


def batches_and_an_error() -> Iterator[pa.RecordBatch]:
    yield BATCH
    raise LookupError("no more")


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "column": (
        lambda: reader(BATCH, pa.record_batch({"y": [1]})),
        "a RecordBatchReader: batch 2, from row 2 on: it has no column 'x', which the source's",
    ),
    "type": (
        lambda: reader(pa.record_batch({"x": ["a"]})),
        "batch 1, from row 0 on: its column 'x' is string, which is int64 in the source's schema",
    ),
    "of another kind": (lambda: iter([BATCH, 7]), "batch 2, from row 2 on: it is of class int, no"),
    "path and others": (lambda: [__file__, 7], "what follows the path of a file is of class int"),
    "generator": (batches_and_an_error, "batch 2, from row 2 on: LookupError: no more"),
    "reader": (
        lambda: pa.RecordBatchReader.from_batches(TABLE.schema, batches_and_an_error()),
        "batch 2, from row 2 on: LookupError: no more",
    ),
    "stream": (lambda: Breaking(lambda: raising(ValueError("gone"))), "Breaking: ValueError: gone"),
    "no stream": (lambda: Breaking(lambda: 7), "its source, a Breaking: "),
    "offsets": (
        lambda: pa.table({"x": [1, 2, 3], "kept": broken_text()}),
        "batch 1, from row 0 on: the buffers of its column 'kept' contradict each other (Offset",
    ),
    "nested offsets": (
        lambda: pa.table({"x": [1], "kept": pa.ListArray.from_arrays([0, 3], broken_text())}),
        "the buffers of its column 'kept' contradict each other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_what_breaks_while_it_is_read(name: str, on_error: str) -> None:
    make, text = BROKEN[name]
    assert text in text_of(udfvm.SourceError, make(), on_error=on_error)


def test_the_exception_of_a_source_is_the_cause() -> None:
    with pytest.raises(udfvm.SourceError) as caught:
        inverse.map(batches_and_an_error())
    assert isinstance(caught.value.__cause__, LookupError)
    panic = pl.exceptions.PanicException("at index 7")
    text = text_of(udfvm.SourceError, Breaking(lambda: raising(panic)))
    assert text.endswith("its source, a Breaking: PanicException: at index 7")
    with pytest.raises(KeyboardInterrupt):
        inverse.map(Breaking(lambda: raising(KeyboardInterrupt())))


def test_bytes_that_are_no_text_are_no_damage() -> None:
    """Of a column that is kept: nothing reads the text."""
    kept = pa.array([b"\xff", b"b"]).view(pa.string())
    for column in (kept, pa.ListArray.from_arrays([0, 1, 2], kept), kept.dictionary_encode()):
        made = inverse.map(pa.table({"x": [1, 0], "kept": column}), on_error="skip")
        assert made.num_rows == 1


def test_errors_about_types_name_the_column() -> None:
    source = {"count": ["a"], "large": pa.array([1 << 63], pa.uint64())}
    text = text_of(udfvm.TypeMappingError, source, columns="count")
    assert "argument 'x' (position 1, column 'count') is declared int64" in text
    with pytest.raises(
        udfvm.TypeMappingError, match=r"row 0: argument .*column 'large'\)"
    ) as caught:
        inverse.map(source, columns={"x": "large"})
    assert caught.value.column == "large"
    assert "(position 1) is declared" in text_of(udfvm.TypeMappingError, {"x": ["a"]})


# ---- Files and folders ----


def write(folder: Path, **files: pa.Table | bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
    return folder


def whole_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(TABLE, file)
    return file.getvalue()


FOLDERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "empty": ({}, "", "the folder has no files"),
    "others": (
        {"README_txt": b"hello", "a_parquet": TABLE}, "",
        r"the folder has other files than Parquet, such as .*README.txt: pass a pattern",
    ),
    "damaged": (
        {"a_parquet": TABLE, "b_parquet": whole_parquet()[:-9]}, "",
        r"b\.parquet is damaged, or was not written to its end: write it again",
    ),
    "types": (
        {"a_parquet": TABLE, "b_parquet": pa.table({"x": ["a"]})}, "",
        r"column 'x' is int64 in .*a\.parquet, and string in .*b\.parquet: pass pyarrow\.dataset",
    ),
    "types in a pattern": (
        {"a_parquet": TABLE, "b_parquet": pa.table({"x": ["a"]})}, "*",
        r"column 'x' is int64 in .*a\.parquet, and string in .*b\.parquet: pass pyarrow\.dataset",
    ),
    "truncated": ({"a_parquet": whole_parquet()[:-9]}, "a.parquet", "a.parquet is damaged, or was"),
    "no bytes": ({"a_parquet": b""}, "a.parquet", r"a\.parquet is empty"),
    "csv": ({"a_csv": b"x\n1\n"}, "a.csv", r"a\.csv is not Parquet: .*\(path, format='csv'\)$"),
    "arrow": ({"a_arrow": b"ARROW1.."}, "a.arrow", r"dataset\.dataset\(path, format='arrow'\)$"),
    "other": ({"a_txt": b"hello"}, "a.txt", r"\(path, format='csv'\) or the like$"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    files, path, text = FOLDERS[name]
    assert re.search(text, text_of(udfvm.SourceError, write(tmp_path, **files) / path))


def test_files_of_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, a_parquet=TABLE, b_parquet=pa.table({"x": ["a"]}))
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for source in (paths, ds.dataset(paths)):
        assert "column 'x' is int64 in " in text_of(udfvm.SourceError, source)
    absent = tmp_path / "c.parquet"
    text = f"UDF 'inverse': map() cannot read {absent}: No such file or directory"
    assert text_of(udfvm.SourceNotFoundError, [paths[0], absent]) == text
    assert "Is a directory" in text_of(udfvm.SourceError, [paths[0], tmp_path])
    assert "no file has such a name" in text_of(udfvm.SourceNotFoundError, tmp_path / "*.pq")
    assert "dataset(uri)" in text_of(udfvm.SourceError, "s3://bucket/a.parquet")


def test_a_file_of_a_dataset_that_is_gone(tmp_path: Path) -> None:
    dataset = ds.dataset(write(tmp_path, a_parquet=TABLE, b_parquet=TABLE))
    (tmp_path / "b.parquet").unlink()
    text = text_of(udfvm.SourceNotFoundError, dataset)
    assert f"Failed to open local file '{tmp_path}/b.parquet': No such file or directory" in text
    assert text_of(udfvm.SourceNotFoundError, "").endswith(": No such file or directory")


def test_a_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    pq.write_table(numbers(3), tmp_path / "[1].parquet")
    assert inverse.map(tmp_path / "[1].parquet").num_rows == 3
