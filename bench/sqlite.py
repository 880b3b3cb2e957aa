"""What a row costs in SQL. ``python bench/sqlite.py --json`` prints one JSON object; all is taken
in one run, the ways taking turns.

Over the 336,776 flights, or the first ``--rows`` of them, ``SELECT total(f(dep_delay, distance))
FROM flights``, in microseconds a row:

    scan             the plain expression dep_delay + distance: what all the others pay too
    native           a trivial C body in a micro-VM, streamed
    python           a trivial Python body in a micro-VM, streamed, under its own name
    python_by_name   the same as vm_udf('plus', ...)
    stored           the same, stored in the database with vm_create
    lambda           a Python lambda in the process, through apsw: no isolation
    wasmtime         a WebAssembly function in the process, through wasmtime-py and apsw; where
                     wasmtime is installed

and in microseconds a call, over ``--row-rows`` of the rows:

    fresh_call       a fresh call of the Python function through the core's C API, as in
                     bench/latency.py
    row              a row of isolation="row", its part of the scan included

``above_scan`` has the cost of each body above the plain scan, ``row_times_fresh_call`` the ratio of
the last two.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import click
from core_calls import CoreSampler

import udfvm
import udfvm.sqlite
from udfvm.cli import flights

C = "double plus(double a, double b) { return a + b; }"
WASM = '(module (func (export "add") (param f64 f64) (result f64) local.get 0 local.get 1 f64.add))'


@udfvm.udf
def plus(dep_delay: float, distance: float) -> float:
    """Adds the arguments: the trivial body."""
    return dep_delay + distance


@udfvm.udf(name="plus_row", isolation="row")
def plus_row(dep_delay: float, distance: float) -> float:
    """The same, each row a call of its own."""
    return dep_delay + distance


def wasm_function() -> Callable[..., Any] | None:
    """Returns the trivial body in the wasmtime of this process; None without wasmtime."""
    try:
        import wasmtime
    except ImportError:
        return None
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, WASM), []).exports(store)
    function: Any = exports["add"]
    return lambda a, b: None if a is None or b is None else function(store, a, b)


def queries(connection: apsw.Connection) -> dict[str, str]:
    """Returns the SQL expression of each way, with its function registered."""
    policy = udfvm.sqlite.Policy(allow_create=True)
    native = udfvm.from_c(C, "plus", name="plus_native", signature="(double, double) -> double")
    udfvm.sqlite.register(connection, plus, plus_row, native, policy=policy)
    source = "def plus_stored(a, b): return a + b"
    connection.execute(
        "SELECT vm_create('plus_stored', 'python', ?, '(double, double) -> double')", (source,)
    ).fetchall()
    ways = {
        "scan": "dep_delay + distance",
        "native": "plus_native(dep_delay, distance)",
        "python": "plus(dep_delay, distance)",
        "python_by_name": "vm_udf('plus', dep_delay, distance)",
        "stored": "vm_udf('plus_stored', dep_delay, distance)",
        "lambda": "plus_lambda(dep_delay, distance)",
    }
    connection.create_scalar_function(
        "plus_lambda", lambda a, b: None if a is None or b is None else a + b, 2
    )
    if wasm := wasm_function():
        connection.create_scalar_function("plus_wasm", wasm, 2)
        ways["wasmtime"] = "plus_wasm(dep_delay, distance)"
    return ways


def measure(directory: Path, repeats: int, rows: int, row_rows: int) -> dict[str, Any]:
    """Returns all figures."""
    database = directory / "flights.db"
    rows = flights.write(database, directory / "flights.parquet", limit=rows)
    connection = apsw.Connection(str(database))
    ways = queries(connection)
    sampler = CoreSampler(directory, plus, (12.0, 300.0))
    samples: dict[str, list[float]] = {name: [] for name in (*ways, "fresh_call", "row")}
    totals = {}

    def timed(expression: str, source: str, count: int) -> float:
        started = time.perf_counter()
        [(totals[expression],)] = connection.execute(
            f"SELECT total({expression}) FROM {source}"
        ).fetchall()
        return (time.perf_counter() - started) * 1e6 / count

    few = f"(SELECT dep_delay, distance FROM flights WHERE dep_delay IS NOT NULL LIMIT {row_rows})"
    for round_ in range(repeats + 1):
        taken = {name: timed(expression, "flights", rows) for name, expression in ways.items()}
        taken["row"] = timed("plus_row(dep_delay, distance)", few, row_rows)
        # The mean of a turn, as for the others.
        taken["fresh_call"] = statistics.fmean(sampler(row_rows))
        if round_ == 0:  # warms up
            continue
        for name, value in taken.items():
            samples[name].append(value)
    if len({round(totals[expression], 3) for expression in ways.values()}) != 1:
        raise RuntimeError(f"the ways differ: {totals}")
    connection.close()
    result: dict[str, Any] = {
        name: {"p50": round(statistics.median(values), 3), "best": round(min(values), 3)}
        for name, values in samples.items()
    }
    scan = result["scan"]["p50"]
    result["above_scan"] = {
        name: round(result[name]["p50"] - scan, 3) for name in ways if name != "scan"
    }
    result["row_times_fresh_call"] = round(result["row"]["p50"] / result["fresh_call"]["p50"], 3)
    return {**result, "rows": rows, "row_rows": row_rows, "repeats": repeats}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each statement.")
@click.option("--rows", default=336_776, show_default=True, help="Flights, from the first on.")
@click.option(
    "--row-rows",
    default=3000,
    show_default=True,
    help='Rows with isolation="row", and fresh calls, in each run.',
)
def main(as_json: bool, repeats: int, rows: int, row_rows: int) -> None:
    """Measures what a row costs in SQL."""
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ.setdefault("UDFVM_CACHE", str(Path(name) / "cache"))
        result = measure(Path(name), repeats, rows, row_rows)
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, value in result.items():
        print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
