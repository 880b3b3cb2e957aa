"""Functions in engines, compared with the same bodies in the engine's own UDFs, in one run.

    python bench/engines.py                     a table
    python bench/engines.py --json              seconds of each way, and ratios
    python bench/engines.py --rows 20000000     generated rows in the place of the flights

DuckDB, with two threads: ``python`` is a body in pure Python, called row by row: in micro-VMs
(``vm``), and as DuckDB's native Python UDF (``own``). ``numpy`` is a light body of numpy, called
with columns: in micro-VMs, and as DuckDB's own Arrow UDF. ``ratio`` is the first divided by the
second, of the medians of some queries each, which take turns.

Dask, with two threads and a partition for each: the same, with ``map_partitions``, and as its own,
which calls the bodies with columns of pandas; pure Python row by row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from sampling import python_sampler, quantiles, take_turns

import udfvm

FLIGHTS = 336_776


def percent(part: float, whole: float) -> float:
    return part / whole * 100 if whole else 0.0


def percents(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / whole * 100


def own_percents(part: pa.ChunkedArray, whole: pa.ChunkedArray) -> pa.Array:
    return pa.array(percents(part.to_numpy(), whole.to_numpy()))


def duckdb_ways(rows: int) -> dict[str, Callable[[], Any]]:
    """The queries of DuckDB, by name."""
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute(
        "CREATE TABLE flights AS SELECT (range % 301 - 20)::DOUBLE AS delay,"
        f" (range % 2475 + 17)::DOUBLE AS distance FROM range({rows})"
    )
    vectorised = udfvm.udf(
        percents,
        vectorized=True,
        elementwise=True,
        input_types=["double", "double"],
        output_type="double",
    )
    udfvm.duckdb.register(con, udfvm.udf(percent), name="python_vm")
    udfvm.duckdb.register(con, vectorised, name="numpy_vm")
    types = ["DOUBLE", "DOUBLE"]
    con.create_function("python_own", percent, types, "DOUBLE", side_effects=True)
    con.create_function("numpy_own", own_percents, types, "DOUBLE", type="arrow", side_effects=True)

    def query(name: str) -> Callable[[], Any]:
        text = f"SELECT sum({name}(delay, distance)) FROM flights"
        return lambda: con.execute(text).fetchone()

    ways = {name: query(name) for name in ("python_vm", "python_own", "numpy_vm", "numpy_own")}
    expected = ways["python_own"]()[0]
    for name, way in ways.items():
        assert np.isclose(way()[0], expected), name
    return ways


def dask_ways(rows: int) -> dict[str, Callable[[], Any]]:
    """The computations of Dask, by name."""
    import dask.dataframe as dd
    import pandas as pd

    numbers = np.arange(rows)
    columns = {"delay": numbers % 301 - 20.0, "distance": numbers % 2475 + 17.0}
    frame = dd.from_pandas(pd.DataFrame(columns), npartitions=2)
    vectorised = udfvm.udf(
        percents, vectorized=True, input_types=["double", "double"], output_type="double"
    )

    def by_row(delay: pd.Series, distance: pd.Series) -> pd.Series:
        return pd.Series(map(percent, delay, distance), index=delay.index)

    def own(body: Callable[..., Any]) -> Any:
        return dd.map_partitions(body, frame["delay"], frame["distance"], meta=("x", "float64"))

    lazy = {
        "python_vm": udfvm.dask.map_partitions(udfvm.udf(percent), frame, "delay", "distance"),
        "python_own": own(by_row),
        "numpy_vm": udfvm.dask.map_partitions(vectorised, frame, "delay", "distance"),
        "numpy_own": own(percents),
    }

    def way(name: str) -> Callable[[], Any]:
        total = lazy[name].sum()
        return lambda: total.compute(scheduler="threads", num_workers=2)

    ways = {name: way(name) for name in lazy}
    expected = ways["python_own"]()
    for name, each in ways.items():
        assert np.isclose(each(), expected), name
    return ways


def measured(ways: dict[str, Callable[[], Any]], rows: int, repeats: int) -> dict[str, Any]:
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
    options = parser.parse_args()
    engines = {"dask": dask_ways, "duckdb": duckdb_ways}
    figures = {
        name: measured(ways(options.rows), options.rows, options.repeats)
        for name, ways in engines.items()
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
