"""Functions on frames and arrays of Dask, with its threads."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from engine_functions import Total, parts, ratio, shown

import udfvm

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")


FRAME = pd.DataFrame(
    {
        "key": ["x", "x", "y", None],
        "a": [1.0, 2.0, None, 4.0],
        "b": [1, 2, 0, 4],
        "text": ["to be", "or", None, "not"],
    },
    index=pd.Index([5, 6, 7, 8], name="i"),
)


@pytest.fixture
def frame() -> Any:
    return dd.from_pandas(FRAME, npartitions=2)


@udfvm.udf
def whole(x: float) -> int:
    return int(x)


def computed(lazy: Any) -> Any:
    """What a Series is, which is what it was said to be ahead."""
    made = lazy.compute(scheduler="threads")
    assert made.dtype == lazy.dtype and made.name == lazy.name
    assert made.index.equals(FRAME.index) and lazy.divisions == (5, 7, 8)
    return [None if pd.isna(each) else each for each in made]


def test_columns_of_a_frame(frame: Any) -> None:
    mapped = udfvm.dask.map_partitions
    for arguments, values in [
        (("a", "b"), [1.0, 1.0, None, 1.0]),
        ((), [1.0, 1.0, None, 1.0]),
        (("a", 2.0), [0.5, 1.0, None, 2.0]),
        (("b", frame["a"]), [1.0, 1.0, None, 1.0]),
        ((frame["b"] * 2, frame["b"].max()), [0.5, 1.0, 0.0, 2.0]),
        ((frame["b"].max(), 2.0), [2.0] * 4),
        ((6.0, 2.0), [3.0] * 4),
    ]:
        made = mapped(ratio, frame, *arguments)
        assert made.name == "ratio" and str(made.dtype) == "float64"
        assert computed(made) == values
    assert computed(mapped(ratio, frame[["a"]])) == [1.0, 2.0, None, 4.0]
    assert computed(mapped(ratio, frame, "b", b=3)) == [1 / 3, 2 / 3, 0.0, 4 / 3]
    assert computed(mapped(shown, frame, "text")) == ["to be!", "or!", "None!", "not!"]


def test_a_series(frame: Any) -> None:
    made = udfvm.dask.map_partitions(ratio, frame["b"], frame["b"] + 2)
    assert made.name == "b" and computed(made) == [1 / 3, 0.5, 0.0, 4 / 6]


def test_integers_with_nulls_in_some_partitions(frame: Any) -> None:
    made = udfvm.dask.map_partitions(whole, frame, "a")
    assert str(made.dtype) == "Int64" and computed(made) == [1, 2, None, 4]
    of_full = udfvm.dask.map_partitions(whole, frame, frame["b"].astype("int32"))
    assert str(of_full.dtype) == "int64" and computed(of_full) == [1, 2, 0, 4]
    arrow = dd.from_pandas(FRAME.convert_dtypes(dtype_backend="pyarrow"), npartitions=2)
    made = udfvm.dask.map_partitions(whole, arrow, "a")
    assert str(made.dtype) == "int64[pyarrow]" and computed(made) == [1, 2, None, 4]


def test_categories_are_not_known_ahead(frame: Any) -> None:
    size = udfvm.udf(
        lambda x: "large" if x > 1 else "small",
        name="size",
        input_types=["double"],
        output_type=pa.dictionary(pa.int8(), pa.string()),
    )
    made = udfvm.dask.map_partitions(size, frame, "a")
    assert str(made.dtype) == "category" and not made.cat.known
    found = made.compute(scheduler="threads")
    assert found.to_list()[:2] == ["small", "large"] and found.isna().to_list()[2:] == [True, False]
    counts = frame.assign(size=made).groupby("size", observed=True)["b"].sum()
    assert counts.compute(scheduler="threads").to_dict() == {"small": 1, "large": 6}


def test_only_columns_that_are_used_are_read(tmp_path: Any) -> None:
    FRAME.to_parquet(tmp_path / "a.parquet")
    source = dd.read_parquet(tmp_path / "a.parquet")
    read = udfvm.dask.map_partitions(ratio, source, "a", "b").optimize(fuse=False)
    readers = [each for each in read.expr.walk() if not each.dependencies()]
    assert readers and {name for each in readers for name in each.columns} == {"a", "b"}


def test_table_functions(frame: Any) -> None:
    made = udfvm.dask.map_partitions(parts, frame, "text", keep=["b", "key"])
    found = made.compute(scheduler="threads")
    assert dict(found.dtypes) == dict(made.dtypes)
    assert found.index.to_list() == [5, 5, 6, 8] and found.index.name == "i"
    assert found[["b", "place", "word"]].to_dict("list") == {
        "b": [1, 1, 2, 4],
        "place": [0, 1, 0, 0],
        "word": ["to", "be", "or", "not"],
    }
    words = udfvm.dask.map_partitions(parts, frame)["word"]
    assert words.compute(scheduler="threads").to_list() == ["to", "be", "or", "not"]
    named = frame.rename(columns={"b": "begin"})
    for keep in ("begin", ["begin", "begin"]):
        assert list(udfvm.dask.map_partitions(parts, named, "text", keep=keep).columns) == [
            "begin",
            *(each.name for each in parts.columns),
        ]


def test_arrays() -> None:
    mapped = udfvm.dask.map_partitions
    halves = mapped(ratio, da.arange(7.0, chunks=3), da.full(7, 2.0, chunks=2))
    assert halves.dtype == "float64" and halves.shape == (7,)
    assert halves.compute(scheduler="threads").tolist() == [x / 2 for x in range(7)]
    square = da.arange(12.0, chunks=12).reshape(3, 4).rechunk(2)
    by_columns = mapped(ratio, square, 1 + da.arange(4.0, chunks=4))
    expected = np.arange(12.0).reshape(3, 4) / [1, 2, 3, 4]
    assert np.array_equal(by_columns.compute(scheduler="threads"), expected)
    texts = mapped(shown, da.from_array(np.array(["a", "b"], dtype=object), chunks=1))
    assert texts.dtype == object and texts.compute().tolist() == ["a!", "b!"]
    total = udfvm.udf(
        lambda x: x - x.mean(),
        name="total",
        vectorized=True,
        input_types=["double"],
        output_type="double",
    )
    with pytest.raises(udfvm.SignatureError, match=r"2 dimensions.*elementwise=True"):
        mapped(total, square)


def test_an_error_says_where(frame: Any) -> None:
    failing = udfvm.dask.map_partitions(ratio, frame, "a", frame["b"] - 3)
    with pytest.raises(udfvm.UDFError) as caught:
        failing.compute(scheduler="threads")
    error = caught.value
    assert error.guest_type == "ValueError" and error.row in (0, 1)
    assert f"'ratio', row {error.row} of its partition: ValueError: negative" in str(error)
    assert 'raise ValueError("negative")' in str(error) and "engine_functions.py" in str(error)
    with pytest.raises(udfvm.UDFError, match="row 0 of its block: ValueError"):
        udfvm.dask.map_partitions(ratio, da.ones(3), -1.0).compute(scheduler="threads")
    slow = udfvm.dask.map_partitions(ratio.with_options(timeout=0.1), frame, "b", 13)
    with pytest.raises(udfvm.CallTimeoutError, match="did not end within"):
        slow.compute(scheduler="threads")


def test_only_deterministic_functions_are_computed_once(frame: Any) -> None:
    def name(function: Any, *arguments: Any) -> Any:
        return udfvm.dask.map_partitions(function, frame, *arguments)._name

    assert name(ratio, "a") != name(ratio, "a")
    same = ratio.with_options(deterministic=True)
    assert name(same, "a", 2.0) == name(same, "a", 2.0) != name(same, "a", 3.0)
    assert name(same, "a") != name(same.with_options(timeout=1), "a")


def test_collections_are_pickled(frame: Any) -> None:
    again = pickle.loads(pickle.dumps(udfvm.dask.map_partitions(ratio, frame, "a")))
    assert computed(again) == [1.0, 2.0, None, 4.0]


def test_what_is_refused(frame: Any) -> None:
    mapped = udfvm.dask.map_partitions
    with pytest.raises(udfvm.TypeMappingError, match=r"no column 'tex': did you mean 'text'"):
        mapped(shown, frame, "tex")
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'a'.*is declared double"):
        mapped(ratio, frame, "text")
    with pytest.raises(udfvm.TypeMappingError, match=r"same partitions.*with 2 and 1 of them"):
        mapped(ratio, frame, "a", frame["b"].repartition(npartitions=1))
    with pytest.raises(udfvm.TypeMappingError, match=r"columns of the same frame.*and values"):
        mapped(ratio, frame, FRAME["a"])
    with pytest.raises(udfvm.TypeMappingError, match=r"columns of the same frame.*and values"):
        mapped(ratio, frame, dask.delayed(1.0))
    with pytest.raises(udfvm.SignatureError, match="is an aggregate, which has one value"):
        mapped(Total, frame, "a")
    with pytest.raises(udfvm.SignatureError, match="is a table function, which takes a frame"):
        mapped(parts, frame["text"])
    with pytest.raises(udfvm.OptionError, match=r"unknown option kep=: did you mean keep="):
        mapped(parts, frame, "text", kep=["a"])
    with pytest.raises(udfvm.OptionError, match="keep= names 'word', and the function has"):
        mapped(parts, frame.rename(columns={"a": "word"}), "text", keep=["word"])
    with pytest.raises(udfvm.TypeMappingError, match="keep=: the frame has no column 'tex': did"):
        mapped(parts, frame, "text", keep="tex")
    with pytest.raises(udfvm.TypeMappingError, match="too many positional arguments"):
        mapped(parts, frame, "text", "text")
    with pytest.raises(udfvm.TypeMappingError, match=r"takes labels of columns.*got 5"):
        mapped(parts, frame, 5)
    with pytest.raises(
        udfvm.TypeMappingError, match=r"arrays of the same shape.*\(4,\) and \(3,\)"
    ):
        mapped(ratio, da.ones(4), da.ones(3))
    with pytest.raises(udfvm.SignatureError, match=r"a frame, a Series or an array of Dask"):
        mapped(ratio, FRAME, "a")
    with pytest.raises(udfvm.SignatureError, match="takes UDFs"):
        mapped(max, frame, "a")
