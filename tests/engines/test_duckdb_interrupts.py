"""Interrupted queries of DuckDB, whose calls end with them, and not those of other queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import ibis
import pytest

import udfvm
from udfvm.engines import duckdb_interrupts

LONG = 1000.0  # seconds: a test that waits for the timeout fails


@udfvm.udf(timeout=LONG)
def lasting(x: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return x


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        udfvm.duckdb.register(connection, lasting)
        lasting(1, 0.0)
        yield connection


def is_busy() -> bool:
    statistics = lasting.pool.statistics()
    return statistics.idle < statistics.live


def once_busy(do: Callable[[], object]) -> threading.Thread:
    def wait() -> None:
        while not is_busy():
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def interrupt_while_it_lasts(con: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Interrupts a query over so many rows, which ends with its calls."""
    thread = once_busy(con.interrupt)
    with pytest.raises((duckdb.InterruptException, duckdb.InvalidInputException)) as caught:
        con.execute(f"SELECT sum(lasting(range, {LONG})) FROM range({rows})").fetchall()
    thread.join()
    assert "Interrupted!" in str(caught.value) or "was interrupted" in str(caught.value)
    assert not is_busy()


@pytest.mark.parametrize("by_cursor", [False, True])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_interrupts_end_calls(con: duckdb.DuckDBPyConnection, rows: int, by_cursor: bool) -> None:
    mine = con.cursor() if by_cursor else con
    interrupt_while_it_lasts(mine, rows)
    assert mine.execute("SELECT lasting(1, 0)").fetchall() == [(1,)]


def test_interrupts_end_calls_of_numbers(con: duckdb.DuckDBPyConnection) -> None:
    """After a first call, these take a way of their own."""
    assert con.execute("SELECT lasting(1, 0)").fetchall() == [(1,)]
    for rows in (1, 10_000):
        interrupt_while_it_lasts(con, rows)
    assert con.execute("SELECT lasting(1, 0)").fetchall() == [(1,)]


def test_interrupts_end_scans_of_table_functions(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.table_function(columns={"i": int}, timeout=LONG)
    def lasting_rows():  # type: ignore[no-untyped-def]
        yield 1
        while True:
            pass

    rows = udfvm.duckdb.table(con, lasting_rows)
    thread = once_busy(con.interrupt)
    with pytest.raises((duckdb.InterruptException, duckdb.InvalidInputException)):
        con.sql("SELECT sum(i) FROM rows").fetchall()
    thread.join()
    assert not is_busy() and rows.columns == ["i"]


def test_other_queries_go_on(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupts meet calls of both; a call of another database is not even ended."""
    monkeypatch.setattr(duckdb_interrupts, "_AGAIN", LONG)  # the machine may be busy
    other, found = con.cursor(), []
    ended = threading.Event()

    def interrupt() -> None:
        while not ended.wait(0.05):
            con.interrupt()

    def query() -> None:
        rows = other.execute("SELECT sum(lasting(range, 0.00001)) FROM range(40_000)").fetchall()
        found.append(rows)

    with duckdb.connect() as elsewhere:
        udfvm.duckdb.register(elsewhere, lasting)
        threads = [threading.Thread(target=each) for each in (interrupt, query)]
        for thread in threads:
            thread.start()
        assert elsewhere.execute("SELECT lasting(3, 0.5)").fetchall() == [(3,)]
        threads[1].join()
        ended.set()
        threads[0].join()
    assert found == [[(sum(range(40_000)),)]]


def test_calls_with_effects_are_not_made_again(con: duckdb.DuckDBPyConnection) -> None:
    called = threading.Event()

    def tell(x: int) -> int:
        called.set()
        return x

    @udfvm.udf(host_functions=[tell], timeout=LONG)
    def telling(x: int) -> int:
        tell(x)
        while True:
            pass

    udfvm.duckdb.register(con, telling)

    def interrupt() -> None:
        called.wait()
        called.clear()
        con.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises((duckdb.InterruptException, duckdb.InvalidInputException)):
        con.execute("SELECT telling(1)").fetchall()
    thread.join()
    assert not called.is_set()


def test_interrupts_of_the_module_end_calls(con: duckdb.DuckDBPyConnection) -> None:
    """Of a connection that it is given, and of the default connection."""
    with duckdb.connect() as other:
        udfvm.duckdb.register(other, lasting)
        query = f"SELECT lasting(1, {LONG})"
        before = duckdb.default_connection()
        try:
            for mine, interrupt in (
                (con, lambda: duckdb.interrupt(connection=con)),
                (other, duckdb.interrupt),
            ):
                duckdb.set_default_connection(other)
                thread = once_busy(interrupt)
                with pytest.raises((duckdb.InterruptException, duckdb.InvalidInputException)):
                    mine.execute(query).fetchall()
                thread.join()
        finally:
            duckdb.set_default_connection(before)
    assert not is_busy()


def test_interrupts_end_calls_of_expressions_of_ibis() -> None:
    """And not those that another database makes of the same expression."""
    slow = udfvm.ibis.udf(lasting)
    found: list[object] = []
    first, other = ibis.duckdb.connect(), ibis.duckdb.connect()

    def expression(seconds: float) -> Any:
        return ibis.memtable({"x": [7]}).select(y=slow(ibis._.x, seconds))

    def interrupt() -> None:
        thread = threading.Thread(
            target=lambda: found.append(other.to_pyarrow(expression(1.0))["y"].to_pylist())
        )
        thread.start()
        while lasting.pool.statistics().live - lasting.pool.statistics().idle < 2:
            time.sleep(0.01)
        first.con.interrupt()
        thread.join()

    thread = once_busy(interrupt)
    with pytest.raises((duckdb.InterruptException, duckdb.InvalidInputException)):
        first.to_pyarrow(expression(LONG))
    thread.join()
    assert found == [[7]] and not is_busy()
