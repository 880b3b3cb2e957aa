"""Functions in engines, compared with the same bodies in the engine's own UDFs, in one run.

    python bench/engines.py                     a table
    python bench/engines.py --json              seconds of each way, and ratios
    python bench/engines.py --rows 20000000     generated rows in the place of the flights

DuckDB, with two threads: ``python`` is a body in pure Python, called row by row: in micro-VMs
(``vm``), and as DuckDB's native Python UDF (``own``). ``numpy`` is a light body of numpy, called
with columns: in micro-VMs, and as DuckDB's own Arrow UDF. ``ratio`` is the first divided by the
second, of the medians of some queries each, which take turns.
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
    engines = {"duckdb": duckdb_ways}
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
