"""What a jail costs, and what hardened calls do. ``python bench/jail.py --json`` prints one JSON
object; all is taken in one run, the ways taking turns: with a pool that is not jailed, with one
that is, and in a program of its own with ``UDFVM_HARDEN=1``.

    fresh_call       a call of a scalar Python function with two floats, in microseconds
    batch            a call of a vectorised function with ``--rows`` numbers of numpy, in
                     milliseconds
    sql_row          a row of ``SELECT total(plus(a, b))``, streamed, in microseconds

``times`` and ``hardened_times`` have the ratios of the medians. Give it two processors that are not
busy, or ``chrt -f 20``: the process of a jailed VM needs one, and so does the thread of a hardened
call.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import apsw
import click
import numpy as np
from sampling import Sampler, python_sampler, take_turns

import udfvm
import udfvm.sqlite

SQL_ROWS = 20_000
WAYS = {"plain": False, "jailed": True}
PER_ROUND = {"fresh_call": (100, 1.0), "batch": (5, 1e-3), "sql_row": (1, 1 / SQL_ROWS)}


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


def samplers_of(jailed: bool, rows: int) -> dict[str, Sampler]:
    """Returns what takes samples of each figure, with VMs that are jailed or not."""
    plus, twice = functions(udfvm.Pool(size=8, jail=jailed))
    numbers = np.arange(rows, dtype=np.float64)
    return {
        "fresh_call": python_sampler(lambda: plus(1.0, 2.0)),
        "batch": python_sampler(lambda: twice(numbers)),
        "sql_row": python_sampler(statement(plus)),
    }


def serve(program: Connection, rows: int) -> None:
    """Takes samples for another program, until that has enough."""
    samplers = samplers_of(False, rows)
    while (asked := program.recv()) is not None:
        name, count = asked
        program.send(samplers[name](count))


@contextmanager
def hardened(rows: int) -> Iterator[dict[str, Sampler]]:
    """The samplers of a program whose calls are hardened: there is no way back for this one."""
    here, there = multiprocessing.Pipe()
    os.environ["UDFVM_HARDEN"] = "1"
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, rows))
    process.start()
    del os.environ["UDFVM_HARDEN"]

    def sampler(name: str) -> Sampler:
        def sample(count: int) -> list[float]:
            here.send((name, count))
            taken: list[float] = here.recv()
            return taken

        return sample

    yield {name: sampler(name) for name in PER_ROUND}
    here.send(None)
    process.join()


def measure(rows: int, rounds: int) -> dict[str, object]:
    """Returns the medians and their ratios."""
    ways = {way: samplers_of(jailed, rows) for way, jailed in WAYS.items()}
    figures = {}
    with hardened(rows) as ways["hardened"]:
        for name, (per_round, unit) in PER_ROUND.items():
            turns = {way: samplers[name] for way, samplers in ways.items()}
            taken = take_turns(turns, rounds, per_round, settle=max(2, per_round // 5))
            figures[name] = {
                way: round(statistics.median(samples) * unit, 3) for way, samples in taken.items()
            }

    def times(way: str) -> dict[str, float]:
        return {name: round(found[way] / found["plain"], 2) for name, found in figures.items()}

    return {
        **figures,
        "times": times("jailed"),
        "hardened_times": times("hardened"),
        "rows": rows,
        "walls": list(udfvm.Pool(jail=True).walls()),
    }


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
        print(f"{name:15}{figures[name]}")
    for name in ("times", "hardened_times", "walls"):
        print(f"{name:15}{figures[name]}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
