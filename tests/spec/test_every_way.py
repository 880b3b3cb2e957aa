"""Columns of every type, nested three deep, cut, in chunks, empty and all null, go through every
way into functions and out of them.

``UDFVM_EVERY_WAY`` is how many random types there are. Each takes the images of four functions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from capsule_producers import capsules
from encoded_values import decoded_values
from every_column import EveryColumn, every_column
from golden_files import difference, identity
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.types.encodings import decoded

COUNT: Final = int(os.environ.get("UDFVM_EVERY_WAY", "3"))
PATIENCE: Final = 120.0  # seconds, of a busy machine
#: What libraries raise for types that they lack.
LACKING: Final = (
    *(pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError),
    *(NotImplementedError, TypeError, ValueError),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)
every_type = settings(
    max_examples=COUNT,
    deadline=None,
    derandomize="UDFVM_EVERY_WAY" not in os.environ,  # else --hypothesis-seed says which types
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a smaller failure costs the images of many functions
)
_ENDING: Final = re.compile(r"values=null|run_ends: \w+, values: (run_end|dictionary)")
seeds = st.integers(0, 2**64 - 1)


def pieces(columns: EveryColumn, type_: pa.DataType) -> Iterator[pa.ChunkedArray]:
    """Columns of a type, of all these forms."""
    whole = columns.of(type_, 7)
    yield pa.chunked_array([whole])
    yield pa.chunked_array([whole.slice(2, 3)])
    yield pa.chunked_array([whole.slice(5), whole[:0], columns.of(type_, 4)])
    yield pa.chunked_array([whole[:0]])
    yield pa.chunked_array([], type_)
    try:
        nulls = pa.nulls(3, type_)
        nulls.validate(full=True)
    except LACKING:  # pyarrow makes no nulls of some, and wrong ones of others
        return
    yield pa.chunked_array([nulls])


def _chunked(result: Any) -> pa.ChunkedArray:
    return result if isinstance(result, pa.ChunkedArray) else pa.chunked_array([result])


def direct_ways(
    function: udfvm.ScalarFunction, column: pa.ChunkedArray
) -> Iterator[tuple[str, Any]]:
    """What comes back of a column from a function that returns it, by way."""
    table = pa.table({"x": column})
    yield "chunked array", function(column)
    yield "table", function(table)
    yield "map", function.map(table, keep=[])[function.name]
    yield "map of a reader", function.map(table.to_reader(), keep=[])[function.name]
    if column.num_chunks == 1:
        yield "array", _chunked(function(column.chunk(0)))
        yield "record batch", _chunked(function(table.to_batches()[0])) if len(table) else column
    if not _holds_runs(column.type):  # pyarrow reads runs from capsules at the top alone
        if column.num_chunks == 1:
            yield "capsule", _chunked(function(capsules(column.chunk(0))))
        yield "stream", _chunked(function(capsules(column)))
        yield "map of a stream", function.map(capsules(table), keep=[])[function.name]


def ways_of_arrow(
    function: udfvm.ScalarFunction, column: pa.ChunkedArray
) -> Iterator[tuple[str, Any]]:
    """The same, where Arrow calls the function. It makes empty results itself, and not right ones
    of all types.
    """
    if not all(map(len, column.chunks)):
        return
    if column.num_chunks == 1:
        yield "pyarrow.compute", _chunked(pc.call_function(function.name, [column.chunk(0)]))
    dataset = ds.dataset(pa.table({"x": column}))
    try:
        dataset.to_table(columns={"r": ds.field("x")})
    except LACKING as error:  # Arrow makes constant columns of not all types
        assert "MakeBuilder" in str(error)
        return
    expression = function.expr(ds.field("x"))
    yield "expression", dataset.to_table(columns={"r": expression})["r"]


def _holds_runs(type_: pa.DataType) -> bool:
    return "run_end_encoded" in str(type_)


def _made(make: Callable[[], Any]) -> Any:
    """What a library makes of a column; None where it cannot."""
    try:
        return make()
    except LACKING:
        return None


def check_pandas(function: udfvm.ScalarFunction, column: pa.ChunkedArray) -> None:
    array = _made(lambda: pd.array(column, dtype=pd.ArrowDtype(column.type)))
    if array is None or "union" in str(column.type):  # of which pandas can show none
        return
    index = pd.Index(range(10, 10 + len(column)), name="i")
    series = pd.Series(array, index=index, name=("odd", 1))
    for back in (function(series), function(series.to_frame())):
        assert type(back) is pd.Series and back.dtype == series.dtype
        assert back.index.equals(index) and back.index.name == "i" and back.name == ("odd", 1)
        assert not difference(column, back.array.__arrow_array__())
    keys = _made(lambda: pd.Index(array, name="key"))
    if keys is not None:
        back = function(keys)
        assert isinstance(back, pd.Index) and back.name == "key"
        assert not difference(column, back.array.__arrow_array__())


def check_polars(function: udfvm.ScalarFunction, column: pa.ChunkedArray) -> None:
    series = _made(lambda: pl.Series("odd name", column))
    if series is None:
        return
    try:
        back = function(series)
    except udfvm.TypeMappingError as error:  # polars has other types for some, and lacks others
        assert "polars cannot" in str(error) or not series.to_arrow().type.equals(column.type)
        return
    assert type(back) is pl.Series and back.name == "odd name" and back.dtype == series.dtype
    assert repr(back.to_list()) == repr(series.to_list())


def check_values(function: udfvm.ScalarFunction, column: pa.ChunkedArray) -> None:
    """Scalars of pyarrow, one by one."""
    if _ENDING.search(str(column.type)):  # pyarrow ends the process where it makes such a scalar
        return
    for row, valid in enumerate(column.chunk(0).is_valid().to_pylist()):
        if not valid:  # pyarrow ends the process where it makes such a scalar of some types
            continue
        scalar = column[row]
        if scalar.is_valid and _made(scalar.as_py) is not None:
            expected = values_of(column.chunk(0).slice(row, 1))[0]
            check_value(function(scalar), decoded(column.type), expected)


def values_of(array: pa.Array) -> list[Any]:
    """The values of a column: those of unions as pyarrow has them."""
    return array.to_pylist() if "union" in str(array.type) else decoded_values(array)


def check_value(value: Any, type_: pa.DataType, expected: Any) -> None:
    """A value that came back. pyarrow makes no array of a value of a union."""
    if "union" not in str(type_) and value is not None:
        value = decoded_values(pa.array([value], type_))[0]
    if "union" not in str(type_) or value is None:
        assert repr(value) == repr(expected)


@pytest.mark.parametrize("vectorized", [False, True])
@every_type
@given(seed=seeds)
def test_scalar_and_vectorised_functions(seed: int, vectorized: bool) -> None:
    columns, type_ = every_column(seed)
    note(f"{type_}")
    function = identity(type_, vectorized=vectorized).with_options(
        name="every_way", timeout=PATIENCE
    )
    udfvm.arrow.register(None, function)
    for column in pieces(columns, type_):
        for ways in (direct_ways, ways_of_arrow):
            for way, made in ways(function, column):
                assert not difference(column, made), f"{type_}, {way}"
        check_pandas(function, column)
        check_polars(function, column)


def _tables(type_: pa.DataType) -> udfvm.TableFunction:
    is_map = pa.types.is_map(decoded(type_))  # a mapping is one of its values, whatever its keys

    def rows(x):  # type: ignore[no-untyped-def]
        yield (x,)
        yield (x,) if is_map else {"the only column": x}

    schema = pa.schema([("the only column", type_)])
    return udfvm.table_function(columns=schema, input_types=[type_], packages=["pyarrow"])(rows)


def _aggregates(type_: pa.DataType) -> udfvm.AggregateFunction:
    class Last:
        def step(self, x):  # type: ignore[no-untyped-def]
            self.last = x

        def finish(self):  # type: ignore[no-untyped-def]
            return getattr(self, "last", None)

    return udfvm.aggregate(Last, input_types=[type_], output_type=type_, packages=["pyarrow"])


@every_type
@given(seed=seeds)
def test_table_functions_and_aggregates(seed: int) -> None:
    columns, type_ = every_column(seed)
    note(f"{type_}")
    rows = _tables(type_).with_options(timeout=PATIENCE)
    last, plain = _aggregates(type_).with_options(timeout=PATIENCE), decoded(type_)
    udfvm.arrow.register(None, last, name="every_last")
    for column in pieces(columns, type_):
        values = [each for chunk in column.chunks for each in values_of(chunk)]
        present = [each for each in values if each is not None]
        made = rows.map(pa.table({"x": column}), keep=[]).column(0)
        assert made.type.equals(type_, check_metadata=True)
        found = [each for chunk in made.chunks for each in values_of(chunk)]
        assert repr(found) == repr([each for each in present for _ in range(2)]), type_
        expected = present[-1] if present else None
        for value in (last(column), last.map(pa.table({"x": column}))):
            check_value(value, plain, expected)
        check_groups(column, expected)


def check_groups(column: pa.ChunkedArray, expected: Any) -> None:
    """Arrow's aggregates of the rows of a column, which are one group."""
    table = pa.table({"k": pa.repeat(1, len(column)), "x": column})
    plain = _made(lambda: table.group_by("k").aggregate([("x", "list")]))
    if plain is None or not len(column) or pa.types.is_null(column.type):
        return  # Arrow cannot group columns of that type, or has no results of it
    made = table.group_by("k").aggregate([("x", "every_last")]).column("x_every_last")
    assert made.type.equals(column.type)
    assert repr(values_of(made.combine_chunks())) == repr([expected])


@every_type
@given(seed=seeds)
def test_values(seed: int) -> None:
    columns, type_ = every_column(seed)
    note(f"{type_}")
    function = identity(type_, vectorized=False).with_options(timeout=PATIENCE)
    check_values(function, pa.chunked_array([columns.of(type_, 5)]))
