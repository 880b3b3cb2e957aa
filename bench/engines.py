"""Functions in engines, compared with the same bodies in the engine's own UDFs, in one run.

    python bench/engines.py                     a table
    python bench/engines.py --json              nanoseconds a row of each way, and ratios
    python bench/engines.py --rows 20000000     more generated rows than there are flights
    python bench/engines.py --engines polars    this engine alone

``python`` is a body in pure Python, called row by row: in micro-VMs (``vm``), and as the engine's
own UDF (``own``): DuckDB's native one, Polars' ``map_elements``, pandas' ``combine``, and
``ibis.udf.scalar.python``. ``numpy`` is a light body of numpy, called with columns: in micro-VMs,
and as DuckDB's Arrow UDF, Polars' ``map_batches``, a function of pandas' columns, and
``ibis.udf.scalar.pyarrow``. DuckDB has two threads, and so has Dask, with a partition for
each: its own is ``map_partitions`` of the bodies, pure Python row by row. DataFusion has two
partitions, too; its own are UDFs of Arrow arrays, pure Python row by row. Spark, where it is
installed, has ``local[2]`` and a cached frame; its own are ``udf`` and ``pandas_udf``. ``ratio`` is
the first divided by the second, of the medians of some queries each, which take turns.

Arrow Flight: a client of pyarrow calls a server in another process through one connection, with
batches of 131,072 rows; its own is the direct call of the same function in this process.

Where the time goes
-------------------

``handover`` is the engine's own function of columns, in the process, that returns its first column:
what the engine takes to bring two columns to a function and one back, without any work; for Arrow
Flight, a server of pyarrow's own that does so. ``direct`` stands for no engine: direct calls with
arrays of numpy, and the bodies in the process. What a micro-VM adds to a light body is in it: the
copy into the input window, an exit, and the zeroing of what was written. In turns with the other
bodies, as here, the processor's caches have forgotten columns and micro-VM; a query that is alone
and repeated takes half as long, in micro-VMs and in the process alike.

- DuckDB hands over 2,048 rows at a time under the interpreter's lock, where its threads take turns;
  only the micro-VMs run in parallel. Its threads take groups of 122,880 rows: of the three groups
  of the flights, one thread computes the last alone, so with ``--rows 3000000`` the ratio is less.
- Polars hands over without a copy, and its own function makes none: beside that, ``numpy`` cannot
  cost less than ``direct``.
- Arrow Flight: what the way takes beyond ``handover`` is the copy of each message into bytes of
  Python, the calls, and the copy of results into a message. Server and client share the machine's
  processors, which the direct call has alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from bodies import TYPES, WAYS, Ways, delays, functions, percent, percents
from flight_ways import flight_ways
from sampling import python_sampler, quantiles, take_turns

import udfvm

FLIGHTS = 336_776
WARM = 6  # queries of each way, where Spark has just begun


def own_percents(part: pa.ChunkedArray, whole: pa.ChunkedArray) -> pa.Array:
    return pa.array(percents(np.asarray(part), np.asarray(whole)))


def first_column(part: pa.ChunkedArray, _: pa.ChunkedArray) -> pa.Array:
    return part.combine_chunks()


def duckdb_with_flights(rows: int) -> duckdb.DuckDBPyConnection:
    """A connection with a table of its own, which two threads scan."""
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.register("generated", pa.table(delays(rows)))
    con.execute("CREATE TABLE flights AS SELECT * FROM generated")
    return con


def duckdb_ways(rows: int) -> Ways:
    con = duckdb_with_flights(rows)
    scalar, vectorised = functions()
    udfvm.duckdb.register(con, scalar, name="python_vm")
    udfvm.duckdb.register(con, vectorised, name="numpy_vm")
    con.create_function("python_own", percent, TYPES, "DOUBLE", side_effects=True)
    for name, body in (("numpy_own", own_percents), ("handover", first_column)):
        con.create_function(name, body, TYPES, "DOUBLE", type="arrow", side_effects=True)

    def query(name: str) -> Callable[[], Any]:
        text = f"SELECT sum({name}(delay, distance)) FROM flights"
        return lambda: con.execute(text).fetchall()[0][0]

    return {name: query(name) for name in (*WAYS, "handover")}


def polars_ways(rows: int) -> Ways:
    frame = pl.DataFrame(delays(rows))
    columns = list(frame.columns)
    scalar, vectorised = (udfvm.polars.expr(each, *columns) for each in functions())

    def of_row(row: dict[str, float]) -> float:
        return percent(row["delay"], row["distance"])

    def of_columns(given: list[pl.Series]) -> pl.Series:
        return pl.Series(percents(given[0].to_numpy(), given[1].to_numpy()))

    expressions = {
        "python_vm": scalar,
        "python_own": pl.struct(columns).map_elements(of_row, return_dtype=pl.Float64),
        "numpy_vm": vectorised,
        "numpy_own": pl.map_batches(columns, of_columns, return_dtype=pl.Float64),
        "handover": pl.map_batches(columns, lambda given: given[0], return_dtype=pl.Float64),
    }

    def query(expression: pl.Expr) -> Callable[[], Any]:
        return lambda: frame.select(expression.sum()).item()

    return {name: query(each) for name, each in expressions.items()}


def pandas_ways(rows: int) -> Ways:
    udfvm.pandas.register()
    frame = pd.DataFrame(delays(rows))
    columns = list(frame.columns)
    scalar, vectorised = functions()
    parts, wholes = (frame[name] for name in columns)
    return {
        "python_vm": lambda: frame.udfvm.map(scalar, *columns).sum(),
        "python_own": lambda: parts.combine(wholes, percent).sum(),
        "numpy_vm": lambda: frame.udfvm.map(vectorised, *columns).sum(),
        "numpy_own": lambda: pd.Series(percents(parts.to_numpy(), wholes.to_numpy())).sum(),
    }


def ibis_ways(back_end: Any, table: Any) -> Ways:
    scalar, vectorised = (udfvm.ibis.udf(each) for each in functions())

    def own(part: float, whole: float) -> float:
        return percent(part, whole)

    signature = {"signature": (("float64", "float64"), "float64")}
    made = {
        "python_vm": scalar,
        "python_own": ibis.udf.scalar.python(own, **signature),
        "numpy_vm": vectorised,
        "numpy_own": ibis.udf.scalar.pyarrow(own_percents, **signature),
    }

    def query(function: Any) -> Callable[[], Any]:
        total = function(table.delay, table.distance).sum()
        return lambda: back_end.to_pyarrow(total).as_py()

    return {name: query(each) for name, each in made.items()}


def ibis_duckdb_ways(rows: int) -> Ways:
    back_end = ibis.duckdb.from_connection(duckdb_with_flights(rows))
    return ibis_ways(back_end, back_end.table("flights"))


def ibis_polars_ways(rows: int) -> Ways:
    back_end = ibis.polars.connect()
    return ibis_ways(back_end, back_end.create_table("flights", pa.table(delays(rows))))


def dask_ways(rows: int) -> Ways:
    import dask.dataframe as dd

    frame = dd.from_pandas(pd.DataFrame(delays(rows)), npartitions=2)
    scalar, vectorised = functions()

    def by_row(delay: pd.Series, distance: pd.Series) -> pd.Series:
        return pd.Series(map(percent, delay, distance), index=delay.index)

    def own(body: Callable[..., Any]) -> Any:
        return dd.map_partitions(body, frame["delay"], frame["distance"], meta=("x", "float64"))

    lazy = {
        "python_vm": udfvm.dask.map_partitions(scalar, frame, "delay", "distance"),
        "python_own": own(by_row),
        "numpy_vm": udfvm.dask.map_partitions(vectorised, frame, "delay", "distance"),
        "numpy_own": own(percents),
    }

    def query(name: str) -> Callable[[], Any]:
        total = lazy[name].sum()
        return lambda: total.compute(scheduler="threads", num_workers=2)

    return {name: query(name) for name in lazy}


def datafusion_ways(rows: int) -> Ways:
    import datafusion

    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(2))
    table = pa.table(delays(rows))
    halves = table.slice(0, rows // 2), table.slice(rows // 2)
    context.register_record_batches("flights", [half.to_batches(8192) for half in halves])
    scalar, vectorised = functions()
    udfvm.datafusion.register(context, scalar, name="python_vm")
    udfvm.datafusion.register(context, vectorised, name="numpy_vm")

    def by_row(part: pa.Array, whole: pa.Array) -> pa.Array:
        return pa.array(map(percent, part.to_pylist(), whole.to_pylist()), pa.float64())

    def by_column(part: pa.Array, whole: pa.Array) -> pa.Array:
        return pa.array(percents(part.to_numpy(), whole.to_numpy()))

    types = [pa.float64()] * 2
    bodies = {"python_own": by_row, "numpy_own": by_column, "handover": lambda part, _: part}
    for name, body in bodies.items():
        context.register_udf(datafusion.udf(body, types, pa.float64(), "volatile", name))

    def query(name: str) -> Callable[[], Any]:
        text = f"SELECT sum({name}(delay, distance)) AS s FROM flights"
        return lambda: context.sql(text).to_pydict()["s"][0]

    return {name: query(name) for name in (*WAYS, "handover")}


def direct_ways(rows: int) -> Ways:
    scalar, vectorised = functions()
    columns = list(delays(rows).values())

    def by_row() -> Any:
        return np.fromiter(map(percent, *columns), float, rows).sum()

    return {
        "python_vm": lambda: scalar(*columns).sum(),
        "python_own": by_row,
        "numpy_vm": lambda: vectorised(*columns).sum(),
        "numpy_own": lambda: percents(*columns).sum(),
    }


def spark_ways(rows: int) -> Ways:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as fn

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.log.level", "OFF")
    builder = builder.config("spark.executorEnv.PYTHONPATH", str(Path(__file__).parent))
    session = builder.config("spark.ui.enabled", "false").getOrCreate()
    frame = session.createDataFrame(pa.table(delays(rows))).repartition(2).cache()
    assert frame.count() == rows
    scalar, vectorised = functions()

    def of_columns(part: pd.Series, whole: pd.Series) -> pd.Series:
        return part / whole * 100

    def first(part: pd.Series, whole: pd.Series) -> pd.Series:
        return part

    for body in (of_columns, first):
        body.__annotations__ = dict.fromkeys(("part", "whole", "return"), pd.Series)
    made = {
        "python_vm": udfvm.spark.udf(scalar),
        "python_own": fn.udf(percent, "double"),
        "numpy_vm": udfvm.spark.udf(vectorised),
        "numpy_own": fn.pandas_udf(of_columns, "double"),
        "handover": fn.pandas_udf(first, "double"),
    }

    def query(function: Any) -> Callable[[], Any]:
        total = frame.agg(fn.sum(function("delay", "distance")))
        return lambda: total.collect()[0][0]

    ways = {name: query(each) for name, each in made.items()}
    for _ in range(WARM):  # Java compiles what it runs often
        for way in ways.values():
            way()
    return ways


ENGINES: dict[str, Callable[[int], Ways]] = {
    "dask": dask_ways,
    "datafusion": datafusion_ways,
    "direct": direct_ways,
    "duckdb": duckdb_ways,
    "flight": flight_ways,
    "polars": polars_ways,
    "pandas": pandas_ways,
    "ibis_duckdb": ibis_duckdb_ways,
    "ibis_polars": ibis_polars_ways,
    **({"spark": spark_ways} if find_spec("pyspark") else {}),
}


def checked(ways: Ways) -> Ways:
    """The ways, all of which but ``handover`` compute the same."""
    expected = ways["python_own"]()
    for name, way in ways.items():
        assert np.isclose(way(), expected) or name == "handover", name
    return ways


def measured(ways: Ways, rows: int, repeats: int) -> dict[str, Any]:
    """Medians in ns a row, and ratios of micro-VMs to the engine's own."""
    samplers = {name: python_sampler(way) for name, way in ways.items()}
    samples = take_turns(samplers, repeats, 1, settle=0)
    figures: dict[str, Any] = {
        f"{name}_ns_per_row": round(quantiles(each)["p50"] * 1e3 / rows, 2)
        for name, each in samples.items()
    }
    for body in ("python", "numpy"):
        own = figures[f"{body}_own_ns_per_row"]
        figures[f"{body}_ratio"] = round(figures[f"{body}_vm_ns_per_row"] / own, 3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=FLIGHTS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    options = parser.parse_args()
    figures = {
        name: measured(checked(ENGINES[name](options.rows)), options.rows, options.repeats)
        for name in options.engines
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, each in figures.items():
        print(name)
        for figure, value in each.items():
            print(f"  {figure:24}{value:12}")


if __name__ == "__main__":
    main()
