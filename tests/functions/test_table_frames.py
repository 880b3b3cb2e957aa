"""Table functions that yield whole tables: of pyarrow, pandas, polars, of anything with Arrow's
PyCapsule interface, columns by name, and the column of a function that has one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import udfvm

#: Packages of the functions here, which have one base image.
PACKAGES = ["numpy", "pandas", "polars", "pyarrow"]


class Capsule:
    """Has no more than the PyCapsule interface of an array or stream."""

    def __init__(self, held: Any, name: str) -> None:
        self._export = getattr(held, name)

    @classmethod
    def of(cls, held: Any, name: str) -> Any:
        """Returns one whose class has the method of this name."""
        made = type("Capsule", (cls,), {name: lambda self, schema=None: self._export(schema)})
        return made(held, name)


def frames(kind: str) -> Any:
    """Returns two rows, (1, "a") and (2, None), as a table of some kind."""
    columns = {"i": [1, 2], "text": ["a", None]}
    batch = pa.RecordBatch.from_pydict(columns)
    makers: dict[str, Callable[[], Any]] = {
        "pyarrow.Table": lambda: pa.table(columns),
        "pyarrow.RecordBatch": lambda: batch,
        "pyarrow.RecordBatchReader": lambda: pa.RecordBatchReader.from_batches(
            batch.schema, [batch.slice(0, 1), batch.slice(1)]
        ),
        "pandas": lambda: pd.DataFrame(columns),
        "pandas, nullable": lambda: pd.DataFrame(columns).convert_dtypes(),
        "pandas, categories": lambda: pd.DataFrame(columns).astype({"text": "category"}),
        "pandas, other index": lambda: pd.DataFrame(columns, index=[7, 7]),
        "polars": lambda: pl.DataFrame(columns),
        "stream": lambda: Capsule.of(pa.table(columns), "__arrow_c_stream__"),
        "array": lambda: Capsule.of(batch, "__arrow_c_array__"),
        "lists": lambda: columns,
        "tuples": lambda: {"text": ("a", None), "i": (1, 2)},
        "numpy": lambda: {"i": np.array([1, 2]), "text": np.array(["a", None], object)},
        "Series": lambda: {"i": pd.Series([1, 2]), "text": pl.Series(["a", None])},
        "arrays": lambda: {"text": pa.array(["a", None]), "i": pa.chunked_array([[1], [2]])},
        "mixed": lambda: {"i": [1, 2], "text": pa.array(["a", None]).dictionary_encode()},
        "other order": lambda: pa.table({"text": ["a", None], "i": [1, 2]}),
        "other names": lambda: pa.table([[1, 2], ["a", None]], names=["x", "y"]),
        "other types": lambda: pa.table(
            {"i": pa.array([1, 2], pa.uint8()), "text": pa.array(["a", None], pa.string_view())}
        ),
    }
    return makers[kind]()


KINDS = [
    "pyarrow.Table",
    "pyarrow.RecordBatch",
    "pyarrow.RecordBatchReader",
    "pandas",
    "pandas, nullable",
    "pandas, categories",
    "pandas, other index",
    "polars",
    "stream",
    "array",
    "lists",
    "tuples",
    "numpy",
    "Series",
    "arrays",
    "mixed",
    "other order",
    "other names",
    "other types",
]
COLUMNS = {"i": int, "text": str}


@udfvm.table_function(columns=COLUMNS, packages=PACKAGES)
def yielded(kind: str) -> Iterator[Any]:
    yield 0, "before"
    yield frames(kind)
    yield {"i": 3, "text": None}
    yield frames(kind)


@udfvm.table_function(columns=COLUMNS, packages=PACKAGES)
def returned(kind: str) -> Any:
    return frames(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_every_kind_among_rows(kind: str) -> None:
    rows = [(1, "a"), (2, None)]
    assert list(yielded(kind)) == [(0, "before"), *rows, (3, None), *rows]
    assert list(returned(kind)) == rows


def test_tables_in_sql_and_in_map() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, returned)
    kinds = ["pandas", "polars", "lists", "stream"]
    connection.execute("CREATE TABLE kinds(kind)")
    connection.executemany("INSERT INTO kinds VALUES (?)", [(kind,) for kind in kinds])
    found = connection.execute("SELECT k.kind, i, text FROM kinds k, returned(k.kind)").fetchall()
    expected = [(kind, *row) for kind in kinds for row in ((1, "a"), (2, None))]
    assert found == expected
    mapped = returned.map(pa.table({"kind": kinds}))
    assert list(zip(*mapped.to_pydict().values(), strict=True)) == expected


@udfvm.table_function(columns=COLUMNS, packages=PACKAGES)
def wrong(kind: str) -> Iterator[Any]:
    yield 7, "first"
    yield {
        "missing": lambda: pl.DataFrame({"i": [1], "texts": ["a"]}),
        "missing by name": lambda: {"i": [1], "texts": ["a"]},
        "more": lambda: pd.DataFrame({"i": [1], "text": ["a"], "z": [1.0]}),
        "fewer": lambda: {"i": [1]},
        "type": lambda: pl.DataFrame({"i": [1], "text": [2.5]}),
        "type of pandas": lambda: pd.DataFrame({"i": [1.5], "text": ["a"]}),
        "value": lambda: {"i": np.array([1, 1 << 63], np.uint64), "text": ["a", "b"]},
        "lengths": lambda: {"i": pa.array([1, 2]), "text": ["a"]},
        "lengths of lists": lambda: {"i": [1, 2], "text": ["a"]},
        "objects": lambda: pl.DataFrame({"i": [1], "text": pl.Series([object()], dtype=pl.Object)}),
        "column": lambda: pa.array([1, 2]),
        "column of capsules": lambda: Capsule.of(pa.array([1, 2]), "__arrow_c_array__"),
        "fails": lambda: Capsule.of(Failing(), "__arrow_c_array__"),
    }[kind]()


class Failing:
    def __arrow_c_array__(self, schema: object = None) -> Any:
        raise ZeroDivisionError("of the producer")


ERRORS = {
    "missing": "TypeError: the function yielded a batch without a column 'text'; it has i, texts",
    "missing by name": "TypeError: the function yielded a batch without a column 'text'; it has i",
    "more": r"a batch of 3 columns \(i, text, z\), but has 2 \(i, text\)",
    "fewer": r"a batch of 1 column \(i\), but has 2 \(i, text\)",
    "type": "column 'text' of a batch: the function returned an array of double, but",
    "type of pandas": "column 'i' of a batch: the function returned an array of double, but",
    "value": "column 'i' of a batch: .* row 1 .*9223372036854775808",
    "lengths": "column 'text' of a batch: the function returned 1 value for 2 rows",
    "lengths of lists": "column 'text' of a batch has 1 value for 2 rows",
    "objects": "DataFrame of Python objects",
    "column": "the function yielded Int64Array: yield a tuple with",
    "column of capsules": r"a batch of 1 column \(int64\), but has 2 \(i, text\)",
    "fails": "ZeroDivisionError: of the producer",
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_name_what_is_wrong(kind: str) -> None:
    rows = wrong(kind)
    assert next(rows) == (7, "first")
    with pytest.raises(udfvm.UDFError, match=ERRORS[kind]):
        next(rows)


def test_columns_of_functions_that_have_one() -> None:
    @udfvm.table_function(columns={"day": datetime.date}, packages=PACKAGES)
    def days(kind: str) -> Iterator[Any]:
        values = [datetime.date(2024, 1, 1), None]
        yield datetime.date(2023, 1, 1)
        yield {
            "numpy": lambda: np.array(values, "datetime64[D]"),
            "pandas": lambda: pd.Series(values),
            "polars": lambda: pl.Series(values),
            "pyarrow": lambda: pa.array(values),
            "capsule": lambda: Capsule.of(pa.array(values), "__arrow_c_array__"),
            "table": lambda: pa.table({"other": values}),
        }[kind]()

    expected = [(datetime.date(2023, 1, 1),), (datetime.date(2024, 1, 1),), (None,)]
    for kind in ("numpy", "pandas", "polars", "pyarrow", "capsule", "table"):
        assert list(days(kind)) == expected


def test_values_of_lists_and_structs_are_rows() -> None:
    """Lists and arrays are values of a column of lists, and columns only beside one that has
    none.
    """

    @udfvm.table_function(columns={"v": "list<int64>"}, packages=PACKAGES)
    def lists(kind: str) -> Iterator[Any]:
        yield {"v": [1, 2]} if kind == "row" else pa.table({"v": [[1], [2]]})

    @udfvm.table_function(columns={"i": int, "v": "list<int64>"}, packages=PACKAGES)
    def both(kind: str) -> Iterator[Any]:
        yield {"i": 1, "v": [1, 2]} if kind == "row" else {"i": [1, 2], "v": [[1], None]}

    assert list(lists("row")) == [([1, 2],)]
    assert list(lists("table")) == [([1],), ([2],)]
    assert list(both("row")) == [(1, [1, 2])]
    assert list(both("columns")) == [(1, [1]), (2, None)]


def test_streams_are_read_as_they_come() -> None:
    """A function may return a stream without an end."""

    @udfvm.table_function(columns={"i": int}, packages=PACKAGES)
    def endless(kind: str) -> Any:
        schema = pa.schema({"i": pa.int64()})
        batches = (pa.record_batch([[i]], schema) for i in iter(int, 1))
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        return reader if kind == "reader" else Capsule.of(reader, "__arrow_c_stream__")

    @udfvm.table_function(columns={"i": int}, packages=PACKAGES)
    def column() -> Any:
        return Capsule.of(pa.chunked_array([[1], [2]]), "__arrow_c_stream__")

    assert list(column()) == [(1,), (2,)]
    for kind in ("reader", "stream"):
        rows = endless(kind)
        assert [next(rows) for _ in range(200)] == [(0,)] * 200
        rows.close()


def test_lists_by_name_need_no_package() -> None:
    @udfvm.table_function(columns={"i": int, "x": float})
    def columns(count: int) -> Iterator[Any]:
        yield {"i": list(range(count)), "x": [None] * count}
        yield {"i": [], "x": []}
        yield {"i": [-1], "x": [0.5]}

    assert list(columns(300)) == [*((i, None) for i in range(300)), (-1, 0.5)]
    assert columns.image is not None


def test_a_sample_may_yield_tables() -> None:
    @udfvm.table_function(columns=COLUMNS, packages=PACKAGES, sample=("polars",))
    def sampled(kind: str) -> Any:
        return frames(kind)

    assert list(sampled("pandas")) == [(1, "a"), (2, None)]


def test_a_mapping_with_an_interval_is_a_row() -> None:
    def waits(months: int):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        yield {"wait": pa.MonthDayNano([months, 0, 0])}

    interval = pa.month_day_nano_interval()
    rows = udfvm.table_function(
        waits, columns={"wait": interval}, input_types=["int64"], packages=["pyarrow"]
    )
    assert list(rows(3)) == [(pa.MonthDayNano([3, 0, 0]),)]
