"""Results as pandas sees them: with the labels of their rows, and with their values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pipeline_functions import doubled, inverse, upto

import udfvm
from udfvm.codec.pandas_columns import backend_of, series_of
from udfvm.pipelines.labels import labels_of

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")

RANGE = pd.RangeIndex(10, 18, 2)
FRAME = pd.DataFrame({"x": [1, 0, 2, 4], "name": list("abcd")}, index=RANGE)
LARGE = 2**60 + 1  # twice that is no float


def frame_of(made: Any, path: Path) -> pd.DataFrame:
    """Returns results of any kind as pandas has them."""
    if isinstance(made, udfvm.Progress):
        return pd.read_parquet(path)
    return made.read_all().to_pandas() if hasattr(made, "read_all") else made.to_pandas()


@pytest.mark.parametrize("output", [None, pa.RecordBatchReader, "file"])
@pytest.mark.parametrize("keep", [None, ["name"], []])
@pytest.mark.parametrize(
    "index",
    [
        RANGE,
        RANGE.rename("label"),
        RANGE.rename("name"),
        pd.Index(list("efgh")),
        pd.MultiIndex.from_tuples(enumerate("efgh"), names=["i", None]),
    ],
    ids=["range", "named", "as a column", "text", "levels"],
)
def test_rows_keep_their_labels(output: Any, keep: Any, index: Any, tmp_path: Path) -> None:
    frame = FRAME.set_axis(index)
    output = tmp_path / "made.parquet" if output == "file" else output
    columns = ["x", "name"] if keep is None else keep
    for on_error, rows in (("skip", [0, 2, 3]), ("null", [0, 1, 2, 3])):
        made = frame_of(
            inverse.map(frame, keep=keep, output=output, on_error=on_error),
            tmp_path / "made.parquet",
        )
        expected = frame.iloc[rows]
        assert made.index.tolist() == expected.index.tolist()
        assert list(made.index.names) == list(expected.index.names)
        assert list(made.columns) == [*columns, "inverse"]
        assert made[columns].equals(expected[columns])


def test_a_range_with_a_name_is_a_column() -> None:
    frame = FRAME[["name"]].set_axis(RANGE.rename("x"))
    assert inverse.map(frame)["inverse"].to_pylist() == [1 / label for label in RANGE]


def test_each_batch_of_a_stream_has_its_labels() -> None:
    frame = pd.DataFrame({"x": range(1, 41)}, index=pd.RangeIndex(100, 140))
    reader = inverse.map(frame, output=pa.RecordBatchReader, keep=[])
    labels = [label for batch in reader for label in batch.to_pandas().index]
    assert labels == list(range(100, 140))


def test_rows_of_table_functions_repeat_the_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"count": [2, 0, 1]}, index=pd.RangeIndex(3, 0, -1))
    assert upto.map(frame, keep=[]).to_pandas().index.tolist() == [3, 3, 1]
    frame.to_parquet(tmp_path / "counts.parquet")
    made = upto.map(tmp_path / "counts.parquet")
    assert made.to_pandas().index.tolist() == [3, 3, 1]
    assert made.column_names == ["count", "__index_level_0__", "i"]


def test_columns_that_a_table_keeps_are_those_that_were_named() -> None:
    table = pa.Table.from_pandas(FRAME)
    made = inverse.map(table, keep=["name"], on_error="skip")
    assert made.column_names == ["name", "inverse"]
    assert made.to_pandas().index.tolist() == [0, 1, 2]
    kept = inverse.map(table, keep=["name"], on_error="null").to_pandas()
    assert kept.index.equals(RANGE)
    part = inverse.map(table.slice(2), on_error="skip")  # the range is not that of its rows
    assert part.column_names == ["x", "name", "inverse"]


def test_an_index_that_is_called_as_the_result() -> None:
    frame = FRAME.set_axis(RANGE.rename("inverse"))
    with pytest.raises(
        udfvm.OptionError, match=r"pass frame\.rename_axis\(\.\.\.\), or call with_o"
    ):
        inverse.map(frame, keep=[])


def test_metadata_that_are_not_those_of_pandas() -> None:
    for text in (b"no JSON", b"[]", b"{}", b'{"columns": 1}'):
        table = pa.table({"x": [1, 0]}).replace_schema_metadata({"pandas": text, "mine": b"1"})
        made = inverse.map(table, on_error="skip")
        assert made.schema.metadata == {b"pandas": text, b"mine": b"1"}
    described = {"kind": "range", "start": None, "stop": 2, "step": 1}
    text = json.dumps({"columns": [7], "index_columns": [described, 7]}).encode()
    made = inverse.map(table.replace_schema_metadata({"pandas": text}), on_error="skip")
    assert made.column_names == ["x", "inverse"]


@pytest.mark.parametrize(
    "names",
    [
        pd.MultiIndex.from_tuples([("x", "a"), ("y", "b")]),
        pd.Index([0, 1]),
        pd.to_datetime(["2024-01-01", "2024-01-02"]),
        pd.CategoricalIndex(["x", "y"]),
        pd.Index([0, "y"]),
    ],
    ids=["levels", "numbers", "days", "categories", "mixed"],
)
@pytest.mark.filterwarnings("error")
def test_names_of_columns_that_are_no_text_become_text(names: Any) -> None:
    frame = pd.DataFrame([[1, 2], [2, 4]], columns=names)
    made = inverse.map(frame, columns=str(names[0])).to_pandas()
    assert list(made.columns) == [*map(str, names), "inverse"]


# ---- Values ----


def test_integers_with_nulls_keep_their_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [LARGE, 7]})
    path = tmp_path / "made.parquet"
    for output in (None, pa.RecordBatchReader, path):
        made = frame_of(doubled.map(frame, on_error="null", output=output), path)
        assert made.dtypes.astype(str).tolist() == ["int64", "Int64"]
        assert made["doubled"].tolist() == [2 * LARGE, pd.NA]
    assert doubled.map(frame[:1]).to_pandas().dtypes.astype(str).tolist() == ["int64", "int64"]


DTYPES = ["int64", "Int64", "string", "int64[pyarrow]"]
VALUES: dict[str, pa.Array] = {
    str(values.type): values
    for values in (
        pa.array([1, None], pa.int8()),
        pa.array([2**64 - 1, None], pa.uint64()),
        pa.array([True, None]),
        pa.array([0.5, None], pa.float32()),
        pa.array([0.5, None]),
        pa.array(["a", None]),
        pa.array(["a", None], pa.large_string()),
        pa.array([b"a", None]),
        pa.array([1, None], pa.date32()),
        pa.array([1, None], pa.timestamp("us", "UTC")),
        pa.array([1, None], pa.duration("s")),
    )
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nulls", [True, False])
@pytest.mark.parametrize("name", VALUES)
def test_columns_are_those_of_a_call_with_a_series(name: str, nulls: bool, dtype: str) -> None:
    values = VALUES[name] if nulls else VALUES[name][:1]
    source = pa.Table.from_pandas(pd.DataFrame({"x": pd.Series([1] * len(values), dtype=dtype)}))
    field = pa.field("made", values.type)
    labels = labels_of(
        source.schema, len(values), ["x"], [field], "x",
        all_columns=True, has_index=True, as_column=False,
    )  # fmt: skip
    schema = pa.schema([source.schema.field(0), field], metadata=labels.schema_metadata())
    table = labels.of_table(pa.table([source["x"], values], schema=schema))
    made = table.to_pandas()
    direct = series_of("f", values, backend_of(pd.api.types.pandas_dtype(dtype)))
    if str(direct.dtype) == "string[pyarrow]":  # the name of another dtype, for pandas
        direct = direct.astype("string")
    assert made["made"].dtype == direct.dtype
    assert made["made"].equals(direct.rename("made"))
    assert made["x"].dtype == dtype


def test_dtypes_that_pandas_does_not_find_by_their_names() -> None:
    lists = pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    made = inverse.map(pd.DataFrame({"x": [1, 2], "kept": lists})).to_pandas()
    assert made["kept"].dtype == np.dtype(object)
    assert made["kept"][0].tolist() == [1]
