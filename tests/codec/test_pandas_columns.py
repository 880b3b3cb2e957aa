"""Columns of pandas go in, and come back as what they were."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from column_functions import added, following, shouted, total, twice
from encoded_values import LEAVES

import udfvm
from udfvm.codec.pandas_columns import column
from udfvm.types.arrow_types import Parameter, declared


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pd.Series([1.0, 2.0]), pd.Series([2.0, 4.0])),
        (pd.Series([1.0, None]), pd.Series([2.0, np.nan])),
        (pd.Series([1, 2]), pd.Series([2.0, 4.0])),
        (pd.Series([1, None], dtype="Int64"), pd.Series([2.0, None], dtype="Float64")),
        (
            pd.Series([1, None], dtype="int64[pyarrow]"),
            pd.Series([2.0, None], dtype="double[pyarrow]"),
        ),
        (pd.Series([1.5, None], dtype=object), pd.Series([3.0, np.nan])),
        (pd.Series([1.5, 2.5], dtype="float32"), pd.Series([3.0, 5.0])),
        (pd.Series([], dtype="float64"), pd.Series([], dtype="float64")),
        (pd.Series([1.0, 2.0, 3.0, 4.0]).iloc[::2], pd.Series([2.0, 6.0])),
    ],
    ids=lambda value: str(value.dtype),
)
def test_a_series_comes_back(given: Any, expected: Any) -> None:
    given.index = pd.Index(list("abcdef")[: len(given)], name="key")
    given.name = "distance"
    expected.index, expected.name = given.index, "distance"
    pd.testing.assert_series_equal(twice(given), expected)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("str", "str"),
        (object, "str"),
        ("category", "str"),
        ("string", "string"),
        (pd.ArrowDtype(pa.string()), pd.ArrowDtype(pa.string())),
    ],
    ids=str,
)
def test_a_series_of_text_comes_back(dtype: Any, expected: Any) -> None:
    given = pd.Series(["a", None, "b"], dtype=dtype, name="word", index=[3, 2, 1])
    made = shouted(given)
    assert made.dtype == pd.Series(["A"], dtype=expected).dtype
    assert made.isna().tolist() == [False, True, False] and made.dropna().tolist() == ["A", "B"]
    assert made.name == "word" and made.index.tolist() == [3, 2, 1]


MISSING = [
    *(None, float("nan"), pd.NaT, pd.NA, Decimal("NaN"), np.float32("nan")),
    *(np.datetime64("NaT"), np.timedelta64("NaT")),
]


@pytest.mark.parametrize("type_", [*LEAVES, pa.list_(pa.int8()), pa.struct([("a", pa.utf8())])])
def test_what_is_missing_in_a_series_of_objects(type_: pa.DataType) -> None:
    """For every type what it is for pandas."""
    series = pd.Series(MISSING, dtype=object)
    assert series.isna().all()
    made = column("f", Parameter("x", declared(type_), False), series)
    assert len(made) == made.null_count == len(MISSING)


@pytest.mark.parametrize(
    ("type_", "dtype"),
    [
        (pa.dictionary(pa.int8(), pa.string()), "category"),
        (pa.dictionary(pa.uint32(), pa.large_string(), ordered=True), "category"),
        (pa.string_view(), "str"),
        (pa.run_end_encoded(pa.int16(), pa.string()), "str"),
        (pa.json_(), "str"),
    ],
    ids=str,
)
@pytest.mark.parametrize("given", ["str", "category", "string", pd.ArrowDtype(pa.string())])
def test_a_series_of_encoded_text_comes_back(type_: Any, dtype: str, given: Any) -> None:
    same = udfvm.udf(lambda x: x, name="same", input_types=[type_], output_type=type_)
    series = pd.Series(["b", None, "a", "b"], dtype=given, name="word", index=[3, 2, 1, 0])
    made = same(series)
    values = made.tolist()
    assert pd.isna(values[1]) and values[:1] + values[2:] == ["b", "a", "b"]
    assert made.name == "word" and made.index.tolist() == [3, 2, 1, 0]
    if given == pd.ArrowDtype(pa.string()):
        assert made.dtype == pd.ArrowDtype(type_)
    elif dtype == "category":
        assert made.dtype == pd.CategoricalDtype(
            ["a", "b"] if type_.ordered else ["b", "a"], ordered=type_.ordered
        )
    elif given == "string" and type_ != pa.json_():
        assert made.dtype == pd.StringDtype()
    else:
        assert made.dtype == pd.Series(["A"], dtype=dtype).dtype or given == "string"


@pytest.mark.parametrize(
    "encode",
    [
        lambda type_: pa.dictionary(pa.int8(), type_),
        lambda type_: pa.run_end_encoded(pa.int32(), type_),
    ],
)
def test_encoded_numbers_with_nulls_are_those_of_numbers(encode: Any) -> None:
    for number, values in ((pa.int64(), [2, None]), (pa.float64(), [0.5, None])):
        type_ = encode(number)
        same = udfvm.udf(lambda x: x, name="same", input_types=[type_], output_type=type_)
        made = same(pd.Series(pd.array(values, dtype="Int64" if values[0] == 2 else "Float64")))
        assert made.isna().tolist() == [False, True] and made[0] == values[0]
        is_category = pa.types.is_dictionary(type_)
        assert str(made.dtype) == (
            "category" if is_category else "Int64" if values[0] == 2 else "Float64"
        )


def test_integers_with_nulls_stay_integers() -> None:
    given = pd.Series([2**53, None], dtype=object)
    made = following(given)
    assert made.dtype == pd.Int64Dtype() and made.tolist() == [2**53 + 1, pd.NA]
    assert following(pd.Series([2**53])).dtype == np.dtype("int64")


def test_an_index_and_arrays_come_back() -> None:
    made = following(pd.Index([1, 2], name="key"))
    assert type(made) is pd.Index and made.tolist() == [2, 3] and made.name == "key"
    assert following(pd.RangeIndex(3)).tolist() == [1, 2, 3]
    for given in (
        pd.array([1, None]),
        pd.array([1, None], dtype="int64[pyarrow]"),
        pd.Series([1, 2]).array,
    ):
        made = following(given)
        assert type(made) is type(given) and made.dtype == given.dtype and made[0] == 2
    assert list(shouted(pd.Categorical(["a", "b", "a"]))) == ["A", "B", "A"]


MOMENTS = pd.to_datetime(["2024-05-01 12:00", None])


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        ("timestamp[us]", pd.Series(MOMENTS)),
        ("timestamp[us]", pd.Series(MOMENTS.as_unit("ns"))),
        ("timestamp[us]", pd.Series(MOMENTS, dtype="timestamp[us][pyarrow]")),
        ("timestamp[us, tz=Europe/Berlin]", pd.Series(MOMENTS.tz_localize("Europe/Berlin"))),
        ("duration[us]", pd.Series(pd.to_timedelta([1, None], unit="s"))),
        ("bool", pd.Series([True, None], dtype="boolean")),
        ("bool", pd.Series([True, False])),
        ("date32", pd.Series([datetime.date(2024, 5, 1), None])),
        ("decimal128(5, 2)", pd.Series([Decimal("1.50"), None])),
        ("list<int64>", pd.Series([[1, 2], None])),
        ("binary", pd.Series([b"a", None])),
        ("uint8", pd.Series([1, None], dtype="UInt8")),
        ("float", pd.Series([1.5, None], dtype="Float32")),
        ("struct<a: int64>", pd.Series([{"a": 1}, None])),
    ],
    ids=str,
)
def test_what_goes_in_comes_out(type_: str, given: Any) -> None:
    same = udfvm.udf(_same, name="same", input_types=[type_], output_type=type_)
    made = same(given)
    assert made.isna().equals(given.isna())
    assert made.dropna().tolist() == given.dropna().tolist()
    assert made.dtype.kind == given.dtype.kind and type(made.dtype) is type(given.dtype)


def _same(x):  # type: ignore[no-untyped-def]
    return x


def test_names_and_indexes_of_several_series() -> None:
    one, other = pd.Series([1.0, 2.0], name="a"), pd.Series([3.0, 4.0], name="a")
    assert added(one, other).name == "a" and added(one, 1.0).name == "a"
    assert added(one, other.rename("b")).name is None  # as one + other
    moved = other.set_axis([5, 6])
    with pytest.raises(udfvm.TypeMappingError, match=r"'x' and 'y' have different indexes.*align"):
        added(one, moved)
    assert added(one, moved.array).tolist() == [4.0, 6.0]
    assert added(one, moved.to_numpy()).tolist() == [4.0, 6.0]
    assert added(np.array([3.0, 4.0]), moved).index.tolist() == [5, 6]
    with pytest.raises(udfvm.TypeMappingError, match="different lengths: 'x' has 2, 'y' has 1"):
        added(one, other[:1])


def test_frames() -> None:
    frame = pd.DataFrame({"b": [0.5, 1.5], "a": [1, 2]}, index=["x", "y"])
    made = total(frame)
    assert made.index.tolist() == ["x", "y"] and made.tolist() == [1.5, 3.5]
    assert made.name is None
    assert twice(frame[["a"]]).tolist() == [2.0, 4.0]
    for name in ("a", 0, "name"):
        one = twice(frame[["a"]].rename(columns={"a": name}))
        assert one.tolist() == [2.0, 4.0] and one.name == name
        assert added(one.to_frame(), one).name == name
    assert twice(pl.DataFrame({"a": [1, 2]})).name == "a"
    assert total(pl.from_pandas(frame)).name == ""
    assert total(pl.from_pandas(frame)).to_list() == [1.5, 3.5]
    assert total(pa.table({"b": [0.5, 1.5], "a": [1, 2]})).to_pylist() == [1.5, 3.5]
    assert total(duckdb.sql("SELECT 1::BIGINT AS a, 2::DOUBLE AS b")).to_pylist() == [3.0]
    with pytest.raises(udfvm.TypeMappingError, match=r"has a column 'b' that is declared double"):
        total(frame.assign(b=["x", "y"]))


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        pd.Series(pd.PeriodIndex(["2024-01", None, "2024-03"], freq="M")),
        pd.Series(pd.arrays.IntervalArray.from_tuples([(0, 1), None, (1, 2)], closed="left")),
    ],
    ids=["periods", "intervals"],
)
def test_periods_and_intervals(given: Any, vectorized: bool) -> None:
    given.name, given.index = "when", ["a", "b", "c"]
    type_ = pa.array(given).type

    def same(x: Any) -> Any:
        return x

    function = udfvm.udf(same, vectorized=vectorized, input_types=[type_], output_type=type_)
    pd.testing.assert_series_equal(function(given), given)
    pd.testing.assert_index_equal(function(pd.Index(given)), pd.Index(given))
    assert type(function(given.array)) is type(given.array)
    assert function(given.iloc[:0]).dtype == given.dtype
    assert function(given.iloc[1:2]).isna().all()
    assert function(pa.array(given)).equals(pa.array(given))
    mapped = udfvm.udf(same, input_types=[type_], output_type=type_).map(given.to_frame("x"))
    assert mapped.to_pandas()["same"].tolist()[::2] == given.tolist()[::2]


def test_what_to_pass_for_intervals_of_other_ends() -> None:
    whole = pd.Series([pd.Interval(0, 1), pd.Interval(2, 3)])
    type_ = pa.array(whole).type
    same = udfvm.udf(lambda x: x, name="same", input_types=[type_], output_type=type_)
    for given, made in (
        (pd.Series([pd.Interval(0, 1), None]), [{"left": 0, "right": 1}, None]),
        (pd.Series([pd.Interval(0.0, 1.0)]), [{"left": 0, "right": 1}]),
        (pd.Series([pd.Interval(0, 1, closed="left")]), [pd.Interval(0, 1)]),
    ):
        with pytest.raises(udfvm.TypeMappingError, match="pandas dtype interval") as caught:
            same(given)
        advice = str(caught.value).rpartition(": pass ")[2]
        result = same(eval(advice, {"pyarrow": pa, "series": given}))
        values = result.storage.to_pylist() if isinstance(result, pa.Array) else list(result)
        assert values == made


def test_periods_of_numbers_and_of_another_frequency() -> None:
    months = pd.Series(pd.period_range("2024-01", periods=2, freq="M"))
    type_ = pa.array(months).type
    following = udfvm.udf(lambda x: x + 1, name="following", input_types=[type_], output_type=type_)
    assert following(months).tolist() == [pd.Period("2024-02"), pd.Period("2024-03")]
    assert following(pd.Series([0])).tolist() == [pd.Period("1970-02")]
    with pytest.raises(
        udfvm.TypeMappingError, match=r"period\[D\]: pass series.astype\('period\[M\]'\)"
    ):
        following(pd.Series(pd.period_range("2024-01", periods=2, freq="D")))
    with pytest.raises(udfvm.TypeMappingError, match="Sparse"):
        following(pd.Series(pd.arrays.SparseArray([1, 0])))


def test_numpy_that_was_installed_after_pyarrow_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = pd.Series([1.0, 2.0])
    assert twice(series).tolist() == [2.0, 4.0]
    monkeypatch.setattr(pa.lib, "np", None)  # as pyarrow has it where numpy is not there
    for call in (twice, lambda x: twice.map(x.to_frame("x")), lambda x: twice(x.astype("Int64"))):
        with pytest.raises(udfvm.EngineError, match=r"restart the program, or the kernel"):
            call(series)
