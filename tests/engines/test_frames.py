"""Errors in engines have no frames of udfvm, whether the engine or udfvm raises them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import apsw
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm

da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")
datafusion, duckdb = pytest.importorskip("datafusion"), pytest.importorskip("duckdb")
ibis, pl = pytest.importorskip("ibis"), pytest.importorskip("polars")

PACKAGE = f"{Path(udfvm.__file__).parent}/"
FRAME = pd.DataFrame({"x": [1.0, 0.0], "k": [1, 1]})


@udfvm.udf
def inverse(x: float) -> float:
    return 1 / x


@udfvm.table_function(columns={"y": float})
def inverses(x: float) -> Iterator[float]:
    yield 1 / x


@udfvm.aggregate
class Failing:
    def step(self, x: float) -> None:
        raise ValueError(x)

    def finish(self) -> float:
        return 0.0


def accessor() -> Any:
    udfvm.pandas.register()
    return cast(Any, FRAME).udfvm


def dask(function: Any, *arguments: Any) -> object:
    frame = dd.from_pandas(FRAME, npartitions=1)
    return udfvm.dask.map_partitions(function, frame, *arguments).compute()


def polars(made: Any) -> object:
    return pl.from_pandas(FRAME).select(made)


def duck(sql: str) -> object:
    with duckdb.connect() as con:
        udfvm.duckdb.register(con, inverse, inverses, Failing)
        con.register("t", FRAME)
        return con.sql(sql).fetchall()


def duck_table() -> object:
    with duckdb.connect() as con:
        return udfvm.duckdb.table(con, inverses, 0.0).fetchall()


def fusion(sql: str) -> object:
    ctx = datafusion.SessionContext()
    udfvm.datafusion.register(ctx, inverse, inverses, Failing)
    ctx.from_arrow(pa.Table.from_pandas(FRAME), name="t")
    return ctx.sql(sql).to_pydict()


def ibis_table(back_end: Any) -> object:
    if back_end.name == "duckdb":
        back_end.con.register("t", FRAME)
    else:
        back_end.create_table("t", pa.Table.from_pandas(FRAME))
    table = back_end.table("t")
    return table.mutate(y=udfvm.ibis.udf(inverse)(table.x)).to_pyarrow()


def sqlite(sql: str) -> object:
    con = apsw.Connection(":memory:")
    udfvm.sqlite.register(con, inverse, inverses, Failing)
    return con.execute(sql).fetchall()


def compute() -> object:
    udfvm.arrow.register(None, inverse, name="inverse_of_frames")
    return pc.call_function("inverse_of_frames", [pa.array([0.0])])


WAYS: dict[str, Callable[[], object]] = {
    "pandas": lambda: accessor().map(inverse, "x"),
    "pandas without the column": lambda: accessor().map(inverse, "z"),
    "a Series": lambda: cast(Any, FRAME["x"]).udfvm.map(inverse),
    "pandas, an aggregate": lambda: accessor().aggregate(Failing, "x", by="k"),
    "pandas, no groups": lambda: accessor().aggregate(Failing, "x", by="z"),
    "pandas, rows": lambda: accessor().table(inverses, "x"),
    "dask": lambda: dask(inverse, "x"),
    "dask without the column": lambda: dask(inverse, "z"),
    "dask, rows": lambda: dask(inverses, "x"),
    "dask, an array": lambda: udfvm.dask.map_partitions(inverse, da.zeros(2)).compute(),
    "polars": lambda: polars(udfvm.polars.expr(inverse, "x")),
    "polars, an aggregate": lambda: polars(udfvm.polars.expr(Failing, "x")),
    "polars, rows": lambda: udfvm.polars.scan(inverses, 0.0).collect(),
    "polars, a table function": lambda: udfvm.polars.expr(inverses, "x"),
    "duckdb": lambda: duck("SELECT inverse(0.0)"),
    "duckdb, an aggregate": lambda: duck("SELECT failing(x) FROM t"),
    "duckdb, rows": lambda: duck("FROM inverses(0.0)"),
    "duckdb, a relation": duck_table,
    "datafusion": lambda: fusion("SELECT inverse(x) FROM t"),
    "datafusion, an aggregate": lambda: fusion("SELECT failing(x) FROM t"),
    "datafusion, rows": lambda: fusion("SELECT * FROM inverses(0.0)"),
    "datafusion, no argument": lambda: fusion("SELECT * FROM inverses()"),
    "ibis over duckdb": lambda: ibis_table(ibis.duckdb.connect()),
    "ibis over polars": lambda: ibis_table(ibis.polars.connect()),
    "ibis, an aggregate": lambda: udfvm.ibis.udf(Failing),
    "sqlite": lambda: sqlite("SELECT inverse(0.0)"),
    "sqlite, an aggregate": lambda: sqlite("SELECT failing(0.0)"),
    "sqlite, rows": lambda: sqlite("SELECT * FROM inverses(0.0)"),
    "pyarrow": compute,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_frames_of_udfvm(way: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - engines have classes of their own
        WAYS[way]()
    text = "".join(traceback.format_exception(raised.value))
    assert f'File "{__file__}"' in text
    assert f'File "{PACKAGE}' not in text
