"""What a jail costs. ``python bench/jail.py --json`` prints one JSON object; all is taken in one
run, the ways taking turns, each with a pool that is not jailed and one that is.

    fresh_call       a call of a scalar Python function with two floats, in microseconds
    batch            a call of a vectorised function with ``--rows`` numbers of numpy, in
                     milliseconds
    sql_row          a row of ``SELECT total(plus(a, b))``, streamed, in microseconds

``times`` has the ratio of the medians. Give it two processors that are not busy, or
``chrt -f 20``: the process of a jailed VM needs one.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import apsw
import click
import numpy as np
from sampling import python_sampler, take_turns

import udfvm
import udfvm.sqlite

SQL_ROWS = 20_000
WAYS = {"plain": False, "jailed": True}


def functions(pool: udfvm.Pool) -> tuple[udfvm.ScalarFunction, udfvm.ScalarFunction]:
    """Returns a scalar and a vectorised function whose VMs are those of the pool."""

    @udfvm.udf(pool=pool)
    def plus(a: float, b: float) -> float:
        return a + b

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double", pool=pool)
    def twice(x):  # type: ignore[no-untyped-def]
        return x * 2

    return plus, twice


def statement(plus: udfvm.ScalarFunction) -> Callable[[], object]:
    """Returns what runs a statement whose rows are streamed."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, plus)
    connection.execute(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE"
        f" i < {SQL_ROWS}) SELECT i + 0.5 AS a, i * 2.0 AS b FROM n"
    )
    return lambda: connection.execute("SELECT total(plus(a, b)) FROM t").fetchall()


def measure(rows: int, rounds: int) -> dict[str, object]:
    """Returns the medians and their ratios."""
    numbers = np.arange(rows, dtype=np.float64)
    calls: dict[str, Callable[[], object]] = {}
    batches: dict[str, Callable[[], object]] = {}
    statements: dict[str, Callable[[], object]] = {}
    for way, jailed in WAYS.items():
        plus, twice = functions(udfvm.Pool(size=8, jail=jailed))
        calls[way] = lambda plus=plus: plus(1.0, 2.0)  # type: ignore[misc]
        batches[way] = lambda twice=twice: twice(numbers)  # type: ignore[misc]
        statements[way] = statement(plus)
    figures = {
        "fresh_call": medians(calls, rounds, 100, 1.0),
        "batch": medians(batches, rounds, 5, 1e-3),
        "sql_row": medians(statements, rounds, 1, 1 / SQL_ROWS),
    }
    times = {name: round(found["jailed"] / found["plain"], 2) for name, found in figures.items()}
    walls = list(udfvm.Pool(jail=True).walls())
    return {**figures, "times": times, "rows": rows, "walls": walls}


def medians(
    ways: dict[str, Callable[[], object]], rounds: int, per_round: int, unit: float
) -> dict[str, float]:
    """Returns the median of each way, in the unit, of calls in turns."""
    samplers = {way: python_sampler(call) for way, call in ways.items()}
    taken = take_turns(samplers, rounds, per_round, settle=max(2, per_round // 5))
    return {way: round(statistics.median(samples) * unit, 3) for way, samples in taken.items()}


@click.command(help=__doc__)
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--rounds", default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(rows: int, rounds: int, as_json: bool) -> None:
    started = time.perf_counter()
    figures = measure(rows, rounds)
    if as_json:
        print(json.dumps(figures))
        return
    for name in ("fresh_call", "batch", "sql_row"):
        print(f"{name:12}{figures[name]}")
    print(f"{'times':12}{figures['times']}")
    print(f"{'walls':12}{figures['walls']}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
