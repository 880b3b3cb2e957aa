"""Columns of types nested three deep, cut, in chunks, empty and all null, go through every way into
functions and out of them.

``UDFVM_EVERY_WAY`` is how many random types there are. Each takes the images of four functions.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from capsule_producers import capsules
from encoded_values import Columns, decoded_values
from golden_files import difference, identity

import udfvm
import udfvm.arrow
from udfvm.types.encodings import decoded

COUNT = int(os.environ.get("UDFVM_EVERY_WAY", "2"))
#: What libraries raise for types that they lack.
LACKING = (
    *(pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError),
    *(NotImplementedError, TypeError, ValueError),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)


def pieces(columns: Columns, type_: pa.DataType) -> Iterator[pa.ChunkedArray]:
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


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _through_series(make: Callable[[pa.Array], Any], column: pa.ChunkedArray) -> Any:
    try:
        return make(_one(column))
    except LACKING:
        return None


SERIES: dict[str, Callable[[pa.Array], Any]] = {
    "pandas": lambda array: pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type))),
    "polars": lambda array: pl.Series("x", array),
}


def ways(function: udfvm.ScalarFunction, column: pa.ChunkedArray) -> Iterator[tuple[str, Any]]:
    """What comes back of a column from a function that returns it, by way."""
    table, is_one = pa.table({"x": column}), column.num_chunks == 1
    yield "chunked array", function(column)
    yield "map", function.map(table, keep=[])[function.name]
    if is_one:
        yield "array", pa.chunked_array([function(column.chunk(0))])
    if not _holds_runs(column.type):  # pyarrow reads runs from capsules at the top alone
        if is_one:
            yield "capsule", pa.chunked_array([function(capsules(column.chunk(0)))])
        yield "stream", pa.chunked_array([function(capsules(column))])
        yield "map of a stream", function.map(capsules(table), keep=[])[function.name]
    if not all(map(len, column.chunks)):
        return  # Arrow makes empty results itself, and not right ones of all types
    if is_one:
        made = pc.call_function(function.name, [column.chunk(0)])
        yield "pyarrow.compute", pa.chunked_array([made])
    dataset = ds.dataset(table)
    try:
        dataset.to_table(columns={"r": ds.field("x")})
    except LACKING as error:  # Arrow makes constant columns of not all types
        assert "MakeBuilder" in str(error)
        return
    expression = function.expr(ds.field("x"))
    yield "expression", dataset.to_table(columns={"r": expression})["r"]


def _holds_runs(type_: pa.DataType) -> bool:
    return "run_end_encoded" in str(type_)


def _tables(type_: pa.DataType) -> udfvm.TableFunction:
    def rows(x):  # type: ignore[no-untyped-def]
        yield (x,)
        yield {"the only column": x}

    schema = pa.schema([("the only column", type_)])
    return udfvm.table_function(columns=schema, input_types=[type_], packages=["pyarrow"])(rows)


def _aggregates(type_: pa.DataType) -> udfvm.AggregateFunction:
    class Last:
        def step(self, x):  # type: ignore[no-untyped-def]
            self.last = x

        def finish(self):  # type: ignore[no-untyped-def]
            return getattr(self, "last", None)

    return udfvm.aggregate(Last, input_types=[type_], output_type=type_, packages=["pyarrow"])


@pytest.mark.parametrize("seed", range(COUNT))
@pytest.mark.parametrize("vectorized", [False, True])
def test_scalar_and_vectorised_functions(seed: int, vectorized: bool) -> None:
    columns = Columns(random.Random(seed))
    type_ = columns.any_type(3)
    function = identity(type_, vectorized=vectorized).with_options(name="every_way")
    udfvm.arrow.register(None, function)
    for column in pieces(columns, type_):
        for way, made in ways(function, column):
            assert not difference(column, made), f"{type_}, {way}"
        for library, make in SERIES.items():
            series = _through_series(make, column) if column.num_chunks else None
            if series is None or _through_series(make, column) is None:
                continue
            back = function(series)
            assert type(back) is type(series), f"{type_}, {library}"
            assert len(back) == len(column)


@pytest.mark.parametrize("seed", range(COUNT))
def test_table_functions_and_aggregates(seed: int) -> None:
    columns = Columns(random.Random(1000 + seed))
    type_ = columns.any_type(3)
    rows, last, plain = _tables(type_), _aggregates(type_), decoded(type_)
    for column in pieces(columns, type_):
        values = [each for chunk in column.chunks for each in decoded_values(chunk)]
        present = [each for each in values if each is not None]
        made = rows.map(pa.table({"x": column}), keep=[]).column(0)
        assert made.type.equals(type_)
        found = [each for chunk in made.chunks for each in decoded_values(chunk)]
        assert repr(found) == repr([each for each in present for _ in range(2)]), type_
        expected = present[-1] if present else None
        for value in (last(column), last.map(pa.table({"x": column}))):
            again = [value] if expected is None else decoded_values(pa.array([value], plain))
            assert repr(again) == repr([expected]), type_
