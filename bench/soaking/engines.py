"""Work of a soak that engines ask for, each on threads of its own: queries, and some that fail."""

from __future__ import annotations

from typing import Any

import dask.dataframe as engine_dask
import datafusion as engine_datafusion
import duckdb as engine_duckdb
import numpy as np
import pandas as engine_pandas
import polars as engine_polars
import pyarrow as pa
import pyarrow.flight as engine_flight
from soaking.checks import equal, fails_with
from soaking.functions import Functions

import udfvm

ROWS = 5000  # several batches of each engine
NUMBERS = np.arange(float(ROWS))
TOTAL = ROWS * (ROWS - 1.0)  # of the numbers, each doubled
FAILURE = "3 is too much"


def duckdb(functions: Functions) -> None:
    with engine_duckdb.connect() as opened:
        udfvm.duckdb.register(opened, functions.plus, functions.twice, functions.native_sum)
        udfvm.duckdb.register(opened, functions.fails, functions.spread, functions.count_to)
        rows = f"(SELECT i::DOUBLE AS i FROM range({ROWS}) AS numbers(i))"
        for call in ("plus(i, i)", "twice(i)", "native_sum(i, i)"):
            found = opened.execute(f"SELECT sum({call}) FROM {rows}").fetchall()
            equal(found, [(TOTAL,)])
        equal(opened.execute(f"SELECT spread(i) FROM {rows}").fetchall(), [(ROWS - 1.0,)])
        equal(opened.execute("SELECT sum(value) FROM count_to(100)").fetchall(), [(5050,)])
        statement = "SELECT fails(i) FROM range(10) AS numbers(i)"
        fails_with(engine_duckdb.Error, FAILURE, lambda: opened.execute(statement).fetchall())
        equal(opened.execute("SELECT fails(1)").fetchall(), [(1,)])


def polars(functions: Functions) -> None:
    frame = engine_polars.DataFrame({"x": NUMBERS, "group": np.arange(ROWS) % 4})
    expr = udfvm.polars.expr
    lazy = frame.lazy().select(y=expr(functions.plus, "x", "x"), z=expr(functions.twice, "x"))
    for engine in ("in-memory", "streaming"):
        equal(lazy.sum().collect(engine=engine).row(0), (TOTAL, TOTAL))
    groups = frame.group_by("group").agg(s=expr(functions.spread, "x"))
    equal(groups["s"].to_list(), [ROWS - 4.0] * 4)
    few = udfvm.polars.scan(functions.count_to, 1_000_000).head(3).collect()
    equal(few["value"].to_list(), [1, 2, 3])
    wrong = engine_polars.LazyFrame({"x": [1, 3]}).select(expr(functions.fails, "x"))
    fails_with(udfvm.UDFError, FAILURE, wrong.collect)


def datafusion(functions: Functions) -> None:
    context = engine_datafusion.SessionContext()
    udfvm.datafusion.register(context, functions.plus, functions.twice, functions.fails)
    udfvm.datafusion.register(context, functions.spread, functions.count_to)
    context.from_pydict({"x": NUMBERS.tolist()}, name="numbers")
    found = context.sql("SELECT sum(plus(x, x)) AS a, sum(twice(x)) AS b FROM numbers")
    equal(found.to_pydict(), {"a": [TOTAL], "b": [TOTAL]})
    equal(context.sql("SELECT spread(x) AS s FROM numbers").to_pydict(), {"s": [ROWS - 1.0]})
    few = context.sql("SELECT value FROM count_to(1000000) LIMIT 3")
    equal(few.to_pydict(), {"value": [1, 2, 3]})
    statement = "SELECT fails(CAST(x AS BIGINT)) FROM numbers"
    fails_with(Exception, "is too much", lambda: context.sql(statement).collect())


def pandas(functions: Functions) -> None:
    series = engine_pandas.Series(NUMBERS, index=np.arange(ROWS) + 10)
    found = functions.plus(series, 0.5)
    equal(found, series + 0.5)
    frame = engine_pandas.DataFrame({"x": series, "group": np.arange(ROWS) % 4})
    equal(frame.groupby("group")["x"].agg(functions.spread).to_list(), [ROWS - 4.0] * 4)
    fails_with(udfvm.UDFError, FAILURE, lambda: functions.fails(engine_pandas.Series([1, 3])))


def dask(functions: Functions) -> None:
    frame = engine_pandas.DataFrame({"x": NUMBERS, "y": NUMBERS})
    parts = engine_dask.from_pandas(frame, npartitions=4)
    added = udfvm.dask.map_partitions(functions.plus, parts, "x", "y")
    equal(float(added.sum().compute(scheduler="threads", num_workers=2)), TOTAL)


def timeouts(functions: Functions) -> None:
    """Those of calls on an engine's threads."""
    with engine_duckdb.connect() as opened:
        udfvm.duckdb.register(opened, functions.endless)
        late = "SELECT endless(3)"
        fails_with(engine_duckdb.Error, "within", lambda: opened.execute(late).fetchall())
    late_frame = engine_polars.DataFrame({"x": [3]})
    expr = udfvm.polars.expr(functions.endless, "x")
    fails_with(udfvm.CallTimeoutError, "within", lambda: late_frame.select(expr))


def flight(functions: Functions) -> None:
    """A server, its clients, and one that goes away in the middle of its call."""
    batch = pa.record_batch({"a": NUMBERS, "b": NUMBERS})
    three = pa.record_batch({"x": pa.array([3], pa.int64())})
    served = (functions.plus, functions.fails, functions.slow)
    with udfvm.flight.Server(*served, listen="127.0.0.1:0") as server:
        with engine_flight.connect(server.location) as client:
            for _ in range(3):
                equal(_asked(client, "plus", batch).column(0), pa.array(NUMBERS * 2))
            fails_with(pa.ArrowException, FAILURE, lambda: _asked(client, "fails", three))
            equal(_asked(client, "plus", batch).num_rows, ROWS)
            writer, reader = client.do_exchange(engine_flight.FlightDescriptor.for_path("slow"))
            writer.begin(three.schema)
            writer.write_batch(three)
            reader.cancel()
            fails_with(pa.ArrowException, "", writer.close)


def _asked(client: Any, name: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    writer, reader = client.do_exchange(engine_flight.FlightDescriptor.for_path(name))
    with writer:
        writer.begin(batch.schema)
        writer.write_batch(batch)
        return reader.read_chunk().data


WORK: tuple[Any, ...] = (duckdb, polars, datafusion, pandas, dask, timeouts, flight)
