"""Calls functions of every form in many ways, and prints what comes of it: a line of JSON for each.

Usage: backend_program.py. The test runs it in micro-VMs and in the process, and compares.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apsw
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import udfvm

seen: list[int] = []  # global state of the functions


class Counter:
    """A class of the program, whose state calls change."""

    made = 0


def price(name: str) -> float | None:
    """A host function."""
    return {"apple": 2.5}.get(name)


class Place(NamedTuple):
    name: str
    at: dt.date | None = None


def moved(places: list[Place], by: dict[str, decimal.Decimal]) -> list[Place]:
    """A host function of types that hold others."""
    tell("moved", lambda: (places[:2], by))
    return [place._replace(name=place.name.upper()) for place in places[:2]]


def failing(x: float) -> float:
    """A host function that fails."""
    raise LookupError(f"no price for {x}")


@udfvm.udf
def score(a: float, b: float) -> float | None:
    return None if b == 0 else a / b * 100


@udfvm.udf
def inverse(x: float) -> float:
    return 1 / x


@udfvm.udf
def count_calls(x: int) -> int:
    seen.append(x)
    Counter.made += 1
    return len(seen) * 100 + Counter.made


@udfvm.udf
def wrong_type(x: int) -> str:
    return x  # type: ignore[return-value]


@udfvm.udf
def chatty(x: int) -> int:
    print("out", x)
    print("err", x, file=sys.stderr)
    return x


@udfvm.udf(vectorized=True)
def added(a: float, b: float) -> float:
    return a + b


@udfvm.udf(vectorized=True)
def too_short(a: float) -> float:
    return a[:-1]


@udfvm.udf
def day_after(day: dt.date, at: dt.datetime, span: dt.timedelta) -> dt.datetime:
    return dt.datetime.combine(day, at.time()) + span


@udfvm.udf(input_types=["decimal128(10, 2)"], output_type="decimal128(10, 2)")
def doubled(x: Any) -> Any:
    return x * 2


@udfvm.udf(input_types=["list<string>"], output_type="list<string>")
def upper(words: Any) -> Any:
    return [word.upper() for word in words]


@udfvm.udf(host_functions=[price, failing])
def cost(name: str, count: int) -> float | None:
    found = price(name)
    return failing(1.0) if count < 0 else None if found is None else found * count


@udfvm.udf(host_functions=[moved])
def travels(name: str, count: int) -> str:
    places = [Place(name), {"name": "b", "at": dt.date(2024, 2, 29)}] * count
    return repr(moved(places, {name: decimal.Decimal("1.5")}))  # type: ignore[arg-type]


@udfvm.table_function(columns={"i": int, "text": str})
def upto(count: int) -> Iterator[tuple[int, str]]:
    for i in range(count):
        if i == 70:
            raise ValueError("seventy")
        yield i, str(i)


@udfvm.aggregate
class Total:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: float) -> None:
        if x < 0:
            raise ValueError(f"negative: {x}")
        self.sum += x

    def inverse(self, x: float) -> None:
        self.sum -= x

    def merge(self, other: Total) -> None:
        self.sum += other.sum

    def finish(self) -> float:
        return self.sum


def described(value: object) -> object:
    """Returns a result as JSON has it."""
    if isinstance(value, BaseException):
        found = [type(value).__name__, str(value)]
        names = ("row", "guest_type", "guest_traceback", "output")
        return found + [getattr(value, name, None) for name in names]
    if isinstance(value, (np.ndarray, pd.Series)):
        return [type(value).__name__, str(value.dtype), value.tolist()]
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return ["pyarrow", str(value.type), [str(each) for each in value.to_pylist()]]
    if isinstance(value, pl.Series):
        return ["polars", str(value.dtype), value.to_list()]
    return [type(value).__name__, repr(value)]


def tell(name: str, call: Callable[[], object]) -> None:
    """Prints what a call returns, or raises."""
    try:
        result: object = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, is compared
        result = error
    print(json.dumps([name, described(result)]), flush=True)


def rows() -> None:
    """Single rows, and their failures."""
    tell("row", lambda: score(12.0, 300.0))
    tell("null", lambda: score(1.0, 0.0))
    tell("error of a row", lambda: inverse(0.0))
    tell("many rows", lambda: [inverse(float(x)) for x in range(1, 20)])
    tell("type of a result", lambda: wrong_type(3))
    tell("type of an argument", lambda: score("a", 2.0))  # type: ignore[arg-type]
    tell("fresh state", lambda: [count_calls(x) for x in range(12)])
    tell("the program's state", lambda: (len(seen), Counter.made))
    tell("output", lambda: chatty(4))
    taken: list[object] = []
    noted = chatty.with_options(log=lambda text, stream: taken.append((text, stream)))
    tell("output that a function takes", lambda: (noted(5), taken))
    short = chatty.with_options(max_log=3, log=lambda text, stream: taken.append((text, stream)))
    tell("too much output", lambda: (short(6), taken))
    moment = dt.datetime(2024, 2, 28, 12, 30)
    tell("dates", lambda: day_after(dt.date(2024, 2, 28), moment, dt.timedelta(days=1)))
    tell("decimals", lambda: doubled(decimal.Decimal("1.25")))
    tell("lists and dicts", lambda: upper(["a", "b"]))
    tell("host function", lambda: [cost("apple", 4), cost("pear", 4)])
    tell("host function that fails", lambda: cost("apple", -1))
    tell("host function of lists", lambda: travels("é", 1))
    tell("arguments that are too large", lambda: travels("x" * 1000, 20_000))


def columns() -> None:
    """Batches of every container."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, 0.0, 2.0])
    arrow = pa.array([1.0, None, 2.0])
    tell("numpy", lambda: inverse(a))
    tell("numpy, again", lambda: [inverse(a).tolist() for _ in range(12)])
    tell("arrow", lambda: score(pa.array(a), pa.array(b)))
    tell("arrow with nulls", lambda: inverse(arrow))
    tell("pandas", lambda: score(pd.Series(a, index=[5, 6, 7]), pd.Series(b, index=[5, 6, 7])))
    tell("polars", lambda: score(pl.Series("a", a), pl.Series("b", b)))
    tell("error of a batch", lambda: inverse(b))
    tell("vectorised", lambda: added(a, b))
    tell("vectorised, again", lambda: [added(a, b).tolist() for _ in range(12)])
    tell("vectorised, arrow", lambda: added(pa.array(a), pa.array(b)))
    tell("vectorised, wrong length", lambda: too_short(a))
    tell("lists", lambda: upper(pa.array([["a"], ["b", "c"], []])))
    tell("state in a batch", lambda: count_calls(np.arange(4)))
    tell("large", lambda: float(added(np.ones(3_000_000), np.ones(3_000_000)).sum()))
    tell("expression", lambda: dataset().to_table(columns={"s": SCORE})["s"])
    udfvm.arrow.register(None, score, inverse)
    tell("compute", lambda: pc.call_function("score", [pa.array(a), pa.array(b)]))
    tell("compute, error", lambda: pc.call_function("inverse", [pa.array(b)]))
    tell("map", lambda: score.map(pa.table({"a": a, "b": b})).to_pydict())
    tell("map, errors", lambda: inverse.map(pa.table({"x": b})).to_pydict())
    tell("map of rows", lambda: upto.map(pa.table({"count": [1, 2]})).to_pydict())
    tell("map of an aggregate", lambda: Total.map(pa.table({"x": np.arange(1000.0)})))


SCORE = score.expr(ds.field("a"), ds.field("b"))


def dataset() -> ds.Dataset:
    """Two columns."""
    return ds.dataset(pa.table({"a": [1.0, 2.0], "b": [4.0, 0.0]}))


def groups() -> None:
    """Table functions and aggregates."""
    tell("table", lambda: list(upto(3)))
    tell("table that fails", lambda: list(upto(100)))
    tell("aggregate", lambda: Total(np.arange(5.0)))
    tell("aggregate that fails", lambda: Total(pa.array([1.0, -1.0])))
    tell("aggregate of halves", lambda: Total(np.ones(300_000)))


def sql() -> None:
    """SQLite, in both modules, DuckDB and Polars."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, score, inverse, Total, upto, count_calls, cost)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1.0 UNION ALL SELECT i + 1 FROM n LIMIT 40)"

    def query(text: str) -> list[Any]:
        return connection.execute(text).fetchall()

    tell("SQL row", lambda: query("SELECT score(3.0, 4.0), vm_udf('score', 1, 0)"))
    tell("SQL rows", lambda: query(f"{numbers} SELECT sum(inverse(i)) FROM n"))
    tell("SQL error", lambda: query(f"{numbers} SELECT inverse(i - 20) FROM n"))
    tell("SQL aggregate", lambda: query(f"{numbers} SELECT total(i) FROM n"))
    tell(
        "SQL window",
        lambda: query(f"{numbers} SELECT total(i) OVER (ROWS 1 PRECEDING) FROM n LIMIT 3"),
    )
    tell("SQL table", lambda: query("SELECT sum(i), max(text) FROM upto(60)"))
    tell("SQL map", lambda: query("SELECT * FROM vm_map('score', 'SELECT 7, 1.0, 2.0')"))
    tell("SQL state", lambda: query(f"{numbers} SELECT max(count_calls(1)) FROM n"))
    tell("SQL host function", lambda: query(f"{numbers} SELECT sum(cost('apple', 1)) FROM n"))
    standard = sqlite3.connect(":memory:")
    udfvm.sqlite.register(standard, score)
    tell("sqlite3", lambda: standard.execute("SELECT score(3.0, 4.0)").fetchall())
    duck = duckdb.connect()
    udfvm.duckdb.register(duck, score, inverse)
    tell("DuckDB", lambda: duck.execute("SELECT score(i, 4.0) FROM range(5) t(i)").fetchall())
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [4.0, 0.0]})
    tell("Polars", lambda: frame.select(udfvm.polars.expr(score, "a", "b")).to_series())
    tell("pandas frame", lambda: score(*(frame[name].to_pandas() for name in "ab")))


if __name__ == "__main__":
    rows()
    columns()
    groups()
    sql()
