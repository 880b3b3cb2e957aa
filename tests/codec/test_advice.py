"""Errors about arguments say what to pass instead, in words of udfvm and not of pyarrow."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

import udfvm

POINT = pa.struct([("x", pa.float64()), ("tags", pa.list_(pa.string()))])


def taking(type_: object) -> udfvm.ScalarFunction:
    return udfvm.udf(lambda v: True, name="f", input_types=[type_], output_type="bool")


def structs(*fields: tuple[str, pa.DataType]) -> pa.Array:
    return pa.nulls(2, pa.struct(fields))


#: The declared type, an argument, and the end of the error.
WRONG: list[tuple[Any, Callable[[], Any], str]] = [
    (
        "int64",
        lambda: float("nan"),
        "got nan, which is a float: pass None where a value is missing",
    ),
    (
        "int64",
        lambda: pd.Series([1, None]),
        "got pandas dtype float64, with NaN: pass series.astype('Int64')",
    ),
    (
        "int8",
        lambda: pd.Series([1, None]),
        "got pandas dtype float64, with NaN: pass series.astype('Int8')",
    ),
    ("int64", lambda: pd.Series([1.0]), "got pandas dtype float64: pass series.astype('int64')"),
    (
        "bool",
        lambda: pd.Series([1.0, None]),
        "got pandas dtype float64, with NaN: pass series.astype('boolean')",
    ),
    (
        "int64",
        lambda: pd.DataFrame({"a": [1], "b": [2]}),
        "got a pandas DataFrame of 2 columns: pass one of them, such as 'a', or call f.map()"
        " with it",
    ),
    (
        "int64",
        lambda: pa.table({"a": [1], "b": [2]}),
        "got a Table of 2 columns: pass one of them, such as 'a', or call f.map() with it",
    ),
    (
        "int64",
        lambda: pl.col("x"),
        "got Expr: call expression.map_batches(f, return_dtype=...)",
    ),
    (
        "int64",
        lambda: pl.LazyFrame({"x": [1]}),
        "got LazyFrame: pass a column of its .collect(), or call f.map(frame.collect())",
    ),
    ("int64", lambda: pc.field("x"), "got Expression: call f.expr(expression)"),
    (
        "int64",
        lambda: ds.dataset(pa.table({"x": [1]})),
        "got InMemoryDataset: call f.map(dataset)",
    ),
    (
        "timestamp[us]",
        lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        "got an aware datetime: pass moment.astimezone(datetime.UTC).replace(tzinfo=None), or"
        " declare a time zone, as timestamp[us, tz=UTC] has one",
    ),
    (
        "timestamp[us, tz=UTC]",
        lambda: datetime.datetime(2020, 1, 1),
        "got a naive datetime: pass moment.replace(tzinfo=...) with the zone that it is in",
    ),
    (
        "timestamp[us]",
        lambda: datetime.date(2020, 1, 1),
        "got date: pass datetime.datetime.combine(date, datetime.time())",
    ),
    ("date32", lambda: datetime.datetime(2020, 1, 1), "got datetime: pass its .date()"),
    ("date32", lambda: "2020-01-01", "got str: pass datetime.date.fromisoformat(text)"),
    (
        "time64[us]",
        lambda: datetime.time(1, tzinfo=datetime.UTC),
        "is 01:00:00+00:00, which has a time zone: pass time.replace(tzinfo=None)",
    ),
    ("decimal128(5, 2)", lambda: 1.5, "got float: pass decimal.Decimal(str(value))"),
    (
        "string",
        lambda: "ab\ud800",
        "has the lone surrogate '\\ud800' at character 2, which UTF-8 does not have: pass"
        " text.encode('utf-8', 'replace').decode()",
    ),
    (
        "string",
        lambda: np.array(["a", "ab\ud800"]),
        "has the lone surrogate '\\ud800' at character 2, which UTF-8 does not have",
    ),
    (
        "double",
        lambda: np.array([1j]),
        "got a numpy array of complex128, which Arrow has no type for: cast it first: array.real"
        " and array.imag, as two columns",
    ),
    (
        "double",
        lambda: np.zeros((2, 2)),
        "got a numpy array of 2 dimensions: a column has one; pass array.ravel(), or declare"
        " a list",
    ),
    (
        POINT,
        lambda: structs(("x", pa.string()), ("tags", pa.list_(pa.string()))),
        "> (field 'x' is string, not double)",
    ),
    (
        POINT,
        lambda: structs(("x", pa.float64()), ("tags", pa.list_(pa.int64()))),
        "> (an item of field 'tags' is int64, not string)",
    ),
    (
        POINT,
        lambda: structs(("x", pa.float64())),
        "> (it has no field 'tags')",
    ),
    (
        POINT,
        lambda: structs(*((each.name, each.type) for each in POINT), ("y", pa.int64())),
        "> (it has a field 'y', which is not declared)",
    ),
    (
        POINT,
        lambda: structs(*reversed([(each.name, each.type) for each in POINT])),
        "> (it has its fields in another order than x, tags)",
    ),
    (
        pa.list_(POINT),
        lambda: pa.nulls(1, pa.list_(pa.struct([("x", pa.float64())]))),
        "> (an item has no field 'tags')",
    ),
    (
        pa.map_(pa.string(), pa.int64()),
        lambda: pa.nulls(1, pa.map_(pa.string(), pa.string())),
        "> (a value is string, not int64)",
    ),
    (
        POINT,
        lambda: np.zeros(1, dtype=[("x", "f8"), ("y", "f8")]),
        "got a numpy array of [('x', '<f8'), ('y', '<f8')]: its fields must be x, tags, in that"
        " order",
    ),
    (
        "int64",
        lambda: pa.array(["a"]),
        "got an array of string; cast it first if that is meant: array.cast('int64')",
    ),
    (
        "uint8",
        lambda: np.array([1.0, np.nan]),
        "got an array of double; cast it first if that is meant: array.astype('uint8')",
    ),
    (
        "list<int64>",
        lambda: np.arange(3),
        "got an array of int64; an array is a column, with a value for each row: pass"
        " array.tolist() for one list",
    ),
    (
        pa.uuid(),
        lambda: uuid.UUID(int=7),
        "is declared extension<arrow.uuid>, stored as fixed_size_binary[16], which takes bytes; got"
        " UUID: pass its .bytes, or str(value) for text",
    ),
    (
        "date32[day]",
        lambda: pa.array([None], pa.timestamp("us")),
        "got an array of timestamp[us]; cast it first if that is meant: array.cast('date32[day]')",
    ),
    (
        POINT,
        lambda: pd.DataFrame({"x": [1.0], "w": [1]}),
        "got a pandas DataFrame of other columns than its fields (without 'tags', with 'w', which"
        " it has not): pass one with a column for each field, or a column of structs, as"
        " table.select([...]).to_struct_array() of pyarrow makes one",
    ),
    (
        "int8",
        lambda: pa.array([1, 300]),
        "is 300, which cannot be int8 without loss: its range is -128 to 127",
    ),
]


@pytest.mark.parametrize(
    ("declared", "argument", "end"), WRONG, ids=[each[2][:60] for each in WRONG]
)
def test_what_to_pass(declared: object, argument: Callable[[], Any], end: str) -> None:
    with pytest.raises(udfvm.TypeMappingError) as caught:
        taking(declared)(argument())
    text = str(caught.value)
    row = caught.value.row
    where = "UDF 'f'" if row is None else f"UDF 'f', row {row}"
    assert text.startswith(f"{where}: argument 'v' (position 1) ")
    assert text.endswith(end)


def test_the_advice_is_right() -> None:
    naive = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert taking("timestamp[us]")(naive.astimezone(datetime.UTC).replace(tzinfo=None))
    assert taking("string")("ab\ud800".encode("utf-8", "replace").decode())
    assert taking("decimal128(5, 2)")(Decimal(str(1.5)))
    assert taking("int64")(pd.Series([1, None]).astype("Int64")).isna().tolist() == [False, True]
    flag = udfvm.udf(lambda x: x > 1, name="large", input_types=["int64"], output_type="bool")
    made = pl.DataFrame({"x": [1, 2]}).select(
        pl.col("x").map_batches(flag, return_dtype=pl.Boolean)
    )
    assert made["x"].to_list() == [False, True]


def test_results_say_which_field() -> None:
    @udfvm.udf(vectorized=True, input_types=["int64"], output_type=POINT)
    def made(x):  # type: ignore[no-untyped-def]
        import pyarrow

        return pyarrow.nulls(len(x), pyarrow.struct([("x", pyarrow.int64())]))

    text = "but its result is declared struct<x: double, tags: list<item: string>> (it has no"
    with pytest.raises(udfvm.UDFError, match=re.escape(text)):
        made(pa.array([1]))


def test_surrogates_in_results() -> None:
    @udfvm.udf
    def plain(x: int) -> str:
        return "\ud800"

    @udfvm.udf(vectorized=True, input_types=["int64"], output_type="string")
    def column(x):  # type: ignore[no-untyped-def]
        import numpy

        return numpy.array(["\ud800"] * len(x), dtype=object)

    for function in (plain, column):
        with pytest.raises(udfvm.UDFError, match=r"ValueError: .*lone surrogate") as caught:
            function(np.array([1]))
        assert "codec" not in str(caught.value)
