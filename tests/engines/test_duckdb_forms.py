"""Aggregates, table functions, and functions with defaults in DuckDB, which are macros there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

import udfvm


@udfvm.udf
def drawn() -> int:
    return random.randint(0, 1 << 60)


@udfvm.udf
def line(x: float, slope: float = 2.5, start: float | None = None) -> float:
    return slope * x + (start or 0)


@udfvm.udf
def label(prefix: str = "it's", data: bytes = b"\0'", on: bool = True) -> str:
    return f"{prefix} {data!r} {on}"


@udfvm.aggregate
class Spread:
    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def step(self, x: float) -> None:
        if x < 0:
            raise ValueError("negative")
        self.low, self.high = min(self.low, x), max(self.high, x)

    def finish(self) -> float | None:
        return self.high - self.low if self.high >= self.low else None


@udfvm.aggregate
class Weighted:
    def __init__(self) -> None:
        self.sum, self.weight = 0.0, 0

    def step(self, x: float | None, weight: int) -> None:
        self.sum += (x or 0) * weight
        self.weight += weight

    def finish(self) -> float | None:
        return self.sum / self.weight if self.weight else None


@udfvm.table_function(columns={"i": int, "word": str})
def words(count: int, letter: str = "a") -> Iterator[tuple[int, str]]:
    for i in range(count):
        if i == 100_000:
            raise ValueError("too many")
        yield i, letter * i


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        udfvm.duckdb.register(connection, drawn, line, label, Spread, Weighted, words)
        yield connection


CASES = {
    "SELECT count(DISTINCT drawn()) FROM range(5000)": [(5000,)],
    "SELECT line(1), line(1, 2), line(x := 3, start := 7)": [(2.5, 2.0, 14.5)],
    "SELECT label()": [("it's b\"\\x00'\" True",)],
    # groups, more than one batch of them, of no rows, and of nulls
    "SELECT r % 3, spread(r) FROM range(10) t(r) GROUP BY 1 ORDER BY 1": [
        (0, 9.0), (1, 6.0), (2, 6.0),
    ],
    "SELECT count(s), sum(s) FROM (SELECT spread(r) s FROM range(9000) t(r) GROUP BY r // 3)": [
        (3000, 6000.0)
    ],
    "SELECT spread(r) FROM range(0) t(r)": [(None,)],
    "SELECT weighted(CASE WHEN r > 3 THEN r END, 1) FROM range(10) t(r) GROUP BY r % 2 ORDER BY 1":
        [(3.6,), (4.2,)],
    "SELECT weighted(r, CASE WHEN r > 3 THEN 1 END) FROM range(10) t(r)": [(6.5,)],
    "SELECT r % 2 FROM range(5) t(r) GROUP BY 1 HAVING spread(r) > 3": [(0,)],
    "SELECT spread(r) OVER (ORDER BY r ROWS 2 PRECEDING) FROM range(4) t(r)": [
        (0.0,), (1.0,), (2.0,), (2.0,),
    ],
    "SELECT list_spread(list(r) FILTER (r > 3)) FROM range(10) t(r)": [(5.0,)],
    # rows
    "FROM words(2)": [(0, ""), (1, "a")],
    "SELECT word FROM words(3, letter := 'b') WHERE i > 1": [("bb",)],
    "SELECT n, i FROM (VALUES (2), (NULL), (0), (1)) t(n), LATERAL words(n) ORDER BY ALL": [
        (1, 0), (2, 0), (2, 1),
    ],
    "SELECT count(*) FROM range(5000) t(n), LATERAL words(n % 5)": [(10_000,)],
    "SELECT list_words(1, 'c')": [([{"i": 0, "word": ""}],)],
}  # fmt: skip


@pytest.mark.parametrize("query", CASES)
def test_results(con: duckdb.DuckDBPyConnection, query: str) -> None:
    assert con.execute(query).fetchall() == CASES[query]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            "SELECT spread(5 - r) FROM range(9) t(r)",
            "'spread', row 6 of its batch: ValueError: neg",
        ),
        ("SELECT count(*) FROM words(100_001, '')", "'words': ValueError: too many"),
        (
            "SELECT count(*) FROM range(100_000, 100_003) t(r), LATERAL words(r, '')",
            "'words', row 1 of its batch: ValueError: too many",
        ),
    ],
)
def test_errors(con: duckdb.DuckDBPyConnection, query: str, text: str) -> None:
    with pytest.raises(duckdb.InvalidInputException) as caught:
        con.execute(query).fetchall()
    assert text in str(caught.value) and "raise ValueError(" in str(caught.value)


def test_a_relation_of_rows_is_read_as_far_as_it_is_needed(con: duckdb.DuckDBPyConnection) -> None:
    many = udfvm.duckdb.table(con, words, 1_000_000, letter="")
    assert many.columns == ["i", "word"] and [str(each) for each in many.types] == [
        "BIGINT",
        "VARCHAR",
    ]
    for _ in range(2):
        assert con.sql("SELECT i FROM many WHERE i > 5 LIMIT 2").fetchall() == [(6,), (7,)]
    with pytest.raises(duckdb.InvalidInputException, match="ValueError: too many"):
        con.sql("SELECT sum(i) FROM many").fetchall()
    few = udfvm.duckdb.table(con, words, 3)
    assert con.sql("FROM few a JOIN few b USING (i)").aggregate("sum(i)").fetchall() == [(3,)]
    assert few.fetchall() == [(0, ""), (1, "a"), (2, "aa")]


def test_relations_of_what_has_no_rows(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(udfvm.TypeMappingError, match="missing a required argument: 'count'"):
        udfvm.duckdb.table(con, words)
    scalar: Any = line
    with pytest.raises(udfvm.SignatureError, match="takes a table function; got <UDF line"):
        udfvm.duckdb.table(con, scalar)


def test_macros_end_with_their_functions() -> None:
    with duckdb.connect() as connection:
        udfvm.duckdb.register(connection, words, Spread, line)
        assert connection.cursor().execute("SELECT line(1, 2, 3)").fetchall() == [(5.0,)]
        udfvm.duckdb.register(connection, line, name="spread")
        assert connection.execute("SELECT spread(1)").fetchall() == [(2.5,)]
        udfvm.duckdb.unregister(connection, words, "SPREAD", line)
        query = "SELECT function_name FROM duckdb_functions() WHERE function_name IN"
        names = "('words', 'list_words', 'spread', 'list_spread', 'line')"
        assert connection.execute(f"{query} {names}").fetchall() == []
        connection.execute("CREATE MACRO list_words(a) AS a")
        with pytest.raises(udfvm.SignatureError, match=r"'list_words' that register\(\) did not"):
            udfvm.duckdb.register(connection, words)


def test_an_aggregate_of_nothing() -> None:
    class Count:
        def step(self) -> None: ...
        def finish(self) -> int:
            return 0

    with duckdb.connect() as connection:
        with pytest.raises(udfvm.SignatureError, match="needs at least one parameter"):
            udfvm.duckdb.register(connection, udfvm.aggregate(Count))
