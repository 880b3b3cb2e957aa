"""Vectorised functions whose parameters are annotated as a Series of pandas or polars."""

from __future__ import annotations

import datetime
import random
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from every_column import EVERY_LEAF, EveryColumn
from golden_files import difference

import udfvm
from udfvm.types.arrow_types import Container

if TYPE_CHECKING:
    import polars as only_for_types

FLOATS: Any = {"vectorized": True, "input_types": ["double"], "output_type": "double"}
TWO: Any = {"vectorized": True, "input_types": ["double", "double"], "output_type": "double"}
WIDE: Any = {"vectorized": True, "input_types": ["decimal256(50, 2)"], "output_type": "int8"}
MEMORY = "1GiB"  # for polars


@udfvm.udf(**FLOATS)
def of_pandas(x: pd.Series) -> pd.Series:
    if type(x).__name__ != "Series" or x.name != "x" or str(x.dtype) != "float64":
        raise TypeError(f"{type(x)}, {x.name}, {x.dtype}")
    return x.rolling(2, min_periods=1).sum()


@udfvm.udf(memory=MEMORY, **FLOATS)
def of_polars(x: pl.Series) -> pl.Series:
    if not isinstance(x, pl.Series) or x.name != "x" or x.dtype != pl.Float64:
        raise TypeError(f"{type(x)}, {x.name}, {x.dtype}")
    return x.rolling_sum(2, min_samples=1)


@udfvm.udf(**TWO)
def mixed(x: np.ndarray, y: pd.Series) -> pa.Array:
    return pa.array(y.clip(upper=2).to_numpy() + x)


@pytest.mark.parametrize("function", [of_pandas, of_polars], ids=["pandas", "polars"])
def test_the_body_gets_a_series(function: udfvm.ScalarFunction) -> None:
    values = [1.0, 2.0, 4.0]
    for given in (np.array(values), pa.array(values), pa.chunked_array([[1.0], [2.0, 4.0]])):
        result = function(given)
        assert isinstance(result, type(given))
        assert np.array(result).tolist() == [1.0, 3.0, 6.0]
    result = function(pd.Series(values, index=[7, 8, 9], name="n"))
    assert result.to_dict() == {7: 1.0, 8: 3.0, 9: 6.0} and result.name == "n"
    assert function(pl.Series("n", values)).to_list() == [1.0, 3.0, 6.0]
    assert function(pa.array([1.0, None, 2.0])).to_pylist() == [1.0, None, 3.0]
    assert len(function(pa.array([], pa.float64()))) == 0
    assert len(function(np.arange(100_000.0))) == 100_000


def test_containers_are_for_each_parameter() -> None:
    assert [each.container for each in mixed.parameters] == [Container.NUMPY, Container.PANDAS]
    assert mixed(np.array([1.0, 2.0]), np.array([1.0, 3.0])).tolist() == [2.0, 4.0]


def test_nulls_that_are_let_in() -> None:
    @udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64")
    def filled(x: pd.Series | None) -> pd.Series:
        if str(x.dtype) not in ("int64", "Int64"):
            raise TypeError(str(x.dtype))
        return x.fillna(2**53 + 1)

    assert filled(pa.array([2**53 + 3, None])).to_pylist() == [2**53 + 3, 2**53 + 1]
    assert filled(pa.array([1])).to_pylist() == [1]

    @udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64", memory=MEMORY)
    def filled_by_polars(x: pl.Series | None) -> pl.Series:
        return x.fill_null(7)

    assert filled_by_polars(pa.array([1, None])).to_pylist() == [1, 7]


COLUMNS = [
    ("string", ["a", "b"]),
    ("large_string", ["a", "ä"]),
    ("bool", [True, False]),
    ("uint8", [1, 255]),
    ("float", [1.5, 2.5]),
    ("date32", [datetime.date(2024, 5, 1)] * 2),
    ("timestamp[us]", [datetime.datetime(2024, 5, 1, 12)] * 2),
    ("timestamp[ms, tz=UTC]", [datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)] * 2),
    ("duration[us]", [datetime.timedelta(seconds=1)] * 2),
    ("list<int64>", [[1, 2], []]),
    ("struct<a: int64>", [{"a": 1}, {"a": 2}]),
    ("binary", [b"a", b""]),
]


def _pandas(x: pd.Series) -> pd.Series:
    return x[::-1][::-1]


def _polars(x: pl.Series) -> pl.Series:
    return x.reverse().reverse()


@pytest.mark.parametrize("body", [_pandas, _polars], ids=["pandas", "polars"])
@pytest.mark.parametrize(("type_", "values"), COLUMNS, ids=[type_ for type_, _ in COLUMNS])
def test_types(type_: str, values: list[Any], body: Any) -> None:
    same = udfvm.udf(
        body,
        name="same",
        vectorized=True,
        input_types=[type_],
        output_type=type_,
        memory=MEMORY,
    )
    given = pa.array(values, same.parameters[0].type.arrow)
    assert same(given).equals(given)


def _numpy(x: np.ndarray) -> np.ndarray:
    return x[::-1][::-1]


def _same_of_polars(x: pl.Series) -> pl.Series:
    return x.clone()


def _every_nested(*without: str) -> pa.DataType:
    """A struct of every type in a list, a list of a fixed size, a struct, a map and deeper: but
    those whose names begin with something.
    """
    fields = []
    for leaf in EVERY_LEAF:
        if str(leaf).startswith(without):
            continue
        lists, struct = pa.list_(leaf), pa.struct([("a", leaf)])
        held = [lists, pa.list_(leaf, 2), struct, pa.map_(pa.string(), leaf), pa.large_list(struct)]
        deeper = [pa.list_(pa.list_(leaf, 2)), pa.struct([("b", lists)]), pa.list_(struct, 2)]
        fields += [pa.field(f"{leaf}, {index}", type_) for index, type_ in enumerate(held + deeper)]
    return pa.struct(fields)


FLOATING = "halffloat", "float", "double"  # whose nulls are NaN in arrays
LACKING = "month_day_nano", "decimal256"  # in polars


@pytest.mark.parametrize(
    ("body", "packages", "without"),
    [
        (_numpy, [], FLOATING),
        (_numpy, ["pandas"], FLOATING),
        (_pandas, [], FLOATING),
        (_same_of_polars, [], LACKING),
    ],
    ids=["numpy", "numpy beside pandas", "pandas", "polars"],
)
def test_what_holds_others(body: Any, packages: list[str], without: tuple[str, ...]) -> None:
    type_ = _every_nested(*without)
    same = udfvm.udf(
        body,
        name="same",
        vectorized=True,
        input_types=[type_],
        output_type=type_,
        packages=["pyarrow", *packages],
        memory=MEMORY,
    )
    given = EveryColumn(random.Random(1)).of(type_, 9)
    assert not difference(pa.chunked_array([given]), same(pa.chunked_array([given])))


def test_lists_and_structs_in_arrays_and_series() -> None:
    """Lists are arrays, which have every integer as it is among nulls; structs are dictionaries."""
    type_ = pa.struct([("xs", pa.list_(pa.int64())), ("at", pa.timestamp("ns"))])

    @udfvm.udf(vectorized=True, input_types=[type_, type_], output_type="string")
    def shown(x: np.ndarray | None, y: pd.Series | None):  # type: ignore[no-untyped-def]
        return np.array([repr(each) for each in [*x, *y]][:: len(x)])

    row = {"xs": [2**62 + 1, None], "at": datetime.datetime(2024, 5, 1)}
    given = pa.array([row, None], type_)
    expected = f"{{'xs': array([{2**62 + 1}, None], dtype=object), 'at': Timestamp('2024-05-01"
    assert all(each.startswith(expected) for each in shown(given, given).to_pylist())


def test_results_of_pandas_and_polars() -> None:
    @udfvm.udf(memory=MEMORY, packages=["pandas"], **FLOATS)
    def any_of(x: pl.Series):  # type: ignore[no-untyped-def]
        values = x.to_list()
        made = {
            1: pd.Series(values, dtype="Float64"),
            2: pd.Index(values),
            3: pd.array(values, dtype="float64[pyarrow]"),
            4: pl.Series(values),
            5: x.to_numpy(),
            6: x.to_arrow(),
            7: pd.Series(values, dtype=object),
            8: pd.Categorical(values),
            9: pd.Series([*values[:5], pd.NA, np.float32("nan"), np.datetime64("NaT"), None]),
        }
        return made.get(len(values), values)

    for rows in range(1, 9):
        assert any_of(np.arange(float(rows))).tolist() == list(range(rows))
    assert any_of(pa.array(range(9))).to_pylist() == [0, 1, 2, 3, 4, None, None, None, None]
    with pytest.raises(udfvm.UDFError, match=r"returned list, not an array: return a pyarrow"):
        any_of(np.arange(10.0))


def test_a_result_without_a_counterpart() -> None:
    @udfvm.udf(memory=MEMORY, **FLOATS)
    def odd(x: pl.Series) -> Any:
        narrow = pa.array([[Decimal("1.5")]] * len(x), pa.list_(pa.decimal32(5, 2)))
        made = {
            1: lambda: pl.Series([object()] * len(x), dtype=pl.Object),
            2: lambda: pl.Series(narrow),
            3: lambda: pl.DataFrame({"x": pl.Series(narrow)}),
        }
        return made[len(x)]()

    with pytest.raises(udfvm.UDFError, match="Series of Python objects, which Arrow has no"):
        odd(np.arange(1.0))
    for rows in (2, 3):  # polars would end the guest where it hands these over
        with pytest.raises(udfvm.UDFError, match=r"Series of List\(.*cast to decimal128 before"):
            odd(np.arange(float(rows)))


def test_aggregates_get_them_too() -> None:
    @udfvm.aggregate(vectorized=True, input_types=["double"], output_type="double")
    class Median:
        def __init__(self) -> None:
            self.parts: list[Any] = []

        def step(self, x: pd.Series) -> None:
            self.parts.append(x.copy())

        def finish(self) -> float:
            return float(pd.concat(self.parts).median())

    assert Median(pd.Series([1.0, 5.0, 2.0, None])) == 2.0


def test_a_sample_is_a_series() -> None:
    function = udfvm.udf(of_pandas.function, sample=(pd.Series([1.0, 2.0]),), **FLOATS)
    assert function(pa.array([3.0, 4.0])).to_pylist() == [3.0, 7.0]


def test_declarations_that_cannot_be() -> None:
    def plain(x: pd.Series) -> float: ...

    def undeclared(x: pl.Series) -> float: ...

    def framed(x: pd.DataFrame) -> float: ...

    def unseen(x: only_for_types.Series) -> float: ...

    for body, options, text in (
        (plain, {}, "annotated as an array: a function over arrays needs"),
        (undeclared, {"vectorized": True}, "a polars Series, which does not say .*input_types="),
        (framed, FLOATS, r"annotation pandas\.DataFrame is a table: annotate pandas\.Series"),
        (unseen, FLOATS, "only_for_types"),
        (_polars, WIDE, r"'x' is annotated as a polars Series, but .* polars cannot hold: annot"),
    ):
        with pytest.raises(udfvm.SignatureError, match=text):
            udfvm.udf(body, **options)


@pytest.mark.parametrize(
    ("hidden", "text"),
    [
        ("None", "polars at module level, not only where TYPE_CHECKING is true"),
        ("'polars'", "polars is not installed: pip install it"),
    ],
)
def test_a_library_that_is_missing(hidden: str, text: str) -> None:
    program = f"""
from __future__ import annotations
import sys
import udfvm
for folder in list(sys.path) if {hidden} else ():
    if folder.endswith("-packages"):
        sys.path.remove(folder)
def body(x: pl.Series) -> float: ...
try:
    udfvm.udf(body, vectorized=True, input_types=["double"])
except udfvm.SignatureError as error:
    print(error)
assert "polars" not in sys.modules
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert text in ended.stdout


def test_polars_reads_decimals_of_few_bits_right() -> None:
    """It has other values of those in lists and structs that it reads from Arrow."""
    type_ = pa.list_(pa.decimal32(5, 2))

    def reversed_lists(x: pl.Series) -> pl.Series:
        return x.list.reverse()

    function = udfvm.udf(
        reversed_lists, vectorized=True, input_types=[type_], output_type=type_, memory=MEMORY
    )
    values = [Decimal("1.50"), Decimal("-2.25")]
    assert function(pa.array([values, []], type_)).to_pylist() == [values[::-1], []]
