"""Functions on frames and Series of pandas."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import pytest
from engine_functions import Products, Total, parts, ratio

import udfvm

BACKENDS = ["numpy", "numpy_nullable", "pyarrow"]
MISSING = {"numpy": "float64", "numpy_nullable": "Float64", "pyarrow": "double[pyarrow]"}


@pytest.fixture(autouse=True)
def _accessors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        udfvm.pandas.register()
        udfvm.pandas.register()


def frame_of(backend: str) -> Any:
    frame = pd.DataFrame(
        {
            "key": ["x", "x", "y", None],
            "a": [1.0, 2.0, None, 4.0],
            "b": [1, 2, 0, 4],
            "text": ["to be", "or", None, "not"],
        },
        index=pd.Index([5, 6, 7, 8], name="i"),
    )
    return frame if backend == "numpy" else frame.convert_dtypes(dtype_backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_series_for_columns(backend: str) -> None:
    frame = frame_of(backend)
    for made, values in [
        (frame.udfvm.map(ratio, "a", "b"), [1.0, 1.0, None, 1.0]),
        (frame.udfvm.map(ratio), [1.0, 1.0, None, 1.0]),
        (frame[["a"]].udfvm.map(ratio), [1.0, 2.0, None, 4.0]),
        (frame.udfvm.map(ratio, "b", b=frame["a"]), [1.0, 1.0, None, 1.0]),
        (frame.udfvm.map(ratio, "a", 2.0), [0.5, 1.0, None, 2.0]),
    ]:
        assert made.name == "ratio" and made.index.equals(frame.index)
        assert str(made.dtype) == MISSING[backend]
        assert [None if pd.isna(each) else each for each in made] == values
    values = frame.udfvm.map(ratio, 6.0, 2.0)
    assert values.to_list() == [3.0] * 4 and values.index.equals(frame.index)
    assert frame.head(0).udfvm.map(ratio).to_list() == []


def test_a_series_for_a_series() -> None:
    frame = frame_of("numpy")
    made = frame["b"].udfvm.map(ratio, frame["b"] + 2)
    assert made.name == "b" and made.index.equals(frame.index)
    assert made.to_list() == [1 / 3, 0.5, 0.0, 4 / 6]


@pytest.mark.parametrize("backend", BACKENDS)
def test_aggregates(backend: str) -> None:
    frame = frame_of(backend)
    assert frame.udfvm.aggregate(Products, "a", "b") == 21.0
    found = frame.udfvm.aggregate(Products, "a", "b", by="key")
    assert found.name == "products" and str(found.dtype) == MISSING[backend]
    assert found.to_dict() == {"x": 5.0, "y": 0.0} and found.index.name == "key"
    with_missing = frame.udfvm.aggregate(Products, "a", "b", by="key", dropna=False)
    assert with_missing.to_list() == [5.0, 0.0, 16.0] and with_missing.index.isna().sum() == 1
    unsorted = frame.iloc[::-1].udfvm.aggregate(Products, "a", 2.0, by="key", sort=False)
    assert list(unsorted.items()) == [("y", 0.0), ("x", 6.0)]
    several = frame.udfvm.aggregate(Products, "a", "a", by=["key", "b"])
    assert several.to_dict() == {("x", 1): 1.0, ("x", 2): 4.0, ("y", 0): 0.0}
    assert frame.head(0).udfvm.aggregate(Products, "a", "b", by="key").to_list() == []
    # Pandas' own way, for aggregates of one column.
    grouped = frame.groupby("key").agg(sum=("a", Total))
    assert grouped["sum"].to_dict() == {"x": 3.0, "y": 0.0}


def test_tables() -> None:
    frame = frame_of("numpy")
    found = frame.udfvm.table(parts, "text", keep=["b"])
    assert found.index.to_list() == [5, 5, 6, 8] and found.index.name == "i"
    assert found.to_dict("list") == {
        "b": [1, 1, 2, 4],
        "place": [0, 1, 0, 0],
        "word": ["to", "be", "or", "not"],
    }
    assert frame.udfvm.table(parts)["word"].to_list() == ["to", "be", "or", "not"]


def test_errors() -> None:
    frame = frame_of("numpy")
    with pytest.raises(udfvm.UDFError, match=r"'ratio', row 3: ValueError: negative") as caught:
        frame.udfvm.map(ratio, "a", [3, 2, 1, -1] * frame["b"].clip(1))
    assert caught.value.row == 3 and "engine_functions.py" in str(caught.value)
    with pytest.raises(udfvm.TypeMappingError, match=r"no column 'tex': did you mean 'text'"):
        frame.udfvm.map(ratio, "tex")
    with pytest.raises(udfvm.TypeMappingError, match=r"'a' and 'b' have different indexes"):
        frame.udfvm.map(ratio, "a", frame["b"].reset_index(drop=True))
    with pytest.raises(udfvm.SignatureError, match=r"is an aggregate.*frame\.udfvm\.aggregate"):
        frame.udfvm.map(Total, "a")
    with pytest.raises(udfvm.SignatureError, match=r"is a table function.*frame\.udfvm\.table"):
        frame["text"].udfvm.map(parts)
    with pytest.raises(udfvm.SignatureError, match=r"is no aggregate.*frame\.udfvm\.map"):
        frame.udfvm.aggregate(ratio, "a")
    with pytest.raises(udfvm.SignatureError, match=r"is no table function.*frame\.udfvm\.map"):
        frame.udfvm.table(ratio, "a")
    with pytest.raises(udfvm.SignatureError, match="takes UDFs"):
        frame.udfvm.map(max, "a")


def test_labels_that_are_not_one_column_are_told() -> None:
    frame = frame_of("numpy")
    doubled = pd.concat([frame, frame], axis=1)
    with pytest.raises(udfvm.TypeMappingError, match=r"the frame has 2 columns 'a': give them"):
        doubled.udfvm.map(ratio, "a", "b")
    with pytest.raises(udfvm.TypeMappingError, match=r"the frame has 2 columns 'text'"):
        doubled.udfvm.table(parts)
    with pytest.raises(udfvm.TypeMappingError, match=r"no column 'tex': did you mean 'text'"):
        frame.udfvm.table(parts, "text", keep=["tex"])
    with pytest.raises(udfvm.TypeMappingError, match=r"takes labels of columns.*got 5"):
        frame.udfvm.table(parts, 5)
    with pytest.raises(udfvm.OptionError, match=r"keep= names 'word', and the function has"):
        frame.assign(word=1).udfvm.table(parts, "text", keep=["word"])
    with pytest.raises(udfvm.TypeMappingError, match=r"no column 'text': it has 'a'; pass labels"):
        frame[["a"]].udfvm.table(parts)
    # A column that the function does not take is no matter, whatever it is.
    other = frame.assign(row=[1j] * len(frame), place="x")
    assert other.udfvm.table(parts, "text", keep=["row"])["row"].to_list() == [1j] * 4
