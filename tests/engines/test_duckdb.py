"""Functions in DuckDB."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

import udfvm
from udfvm.call.dispatch import Calls
from udfvm.functions import engine_calls


@udfvm.udf
def ratio(a: float, b: float) -> float | None:
    if b < 0:
        raise ValueError("negative")
    return a / b if b else None


@udfvm.udf
def total(first: float, *rest: float | None) -> float:
    return first + sum(each or 0 for each in rest)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        udfvm.duckdb.register(connection, ratio, total)
        yield connection


def test_results_may_be_null_and_nulls_are_not_called(con: duckdb.DuckDBPyConnection) -> None:
    rows = "(VALUES (1, 2), (NULL, 2), (3, 0), (-1, 4)) AS t(a, b)"
    found = con.execute(f"SELECT ratio(a, b) FROM {rows}").fetchall()
    assert found == [(0.5,), (None,), (None,), (-0.25,)]


def test_many_rows_on_several_threads(con: duckdb.DuckDBPyConnection) -> None:
    found = con.execute("SELECT sum(ratio(range, 2)), count(*) FROM range(100_000)").fetchone()
    assert found == (sum(range(100_000)) / 2, 100_000)


def test_any_number_of_arguments(con: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT total(1), total(range, 0.5), total(range, NULL::DOUBLE, 2) FROM range(2)"
    assert con.execute(query).fetchall() == [(1.0, 0.5, 2.0), (1.0, 1.5, 3.0)]


def test_errors_arrive_whole_and_the_connection_goes_on(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.InvalidInputException) as caught:
        con.execute("SELECT ratio(1, 2 - range) FROM range(5)").fetchall()
    text = str(caught.value)
    assert "UDFError: UDF 'ratio', row 3 of its batch: ValueError: negative" in text
    assert 'raise ValueError("negative")' in text and "test_duckdb.py" in text
    assert con.execute("SELECT ratio(1, 2)").fetchall() == [(0.5,)]


def test_names(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(udfvm.SignatureError, match=r"has a UDF 'ratio': pass replace=True"):
        udfvm.duckdb.register(con, ratio, replace=False)
    with pytest.raises(udfvm.SignatureError, match=r"function 'abs' that register\(\) did not"):
        udfvm.duckdb.register(con, ratio, name="abs")
    with pytest.raises(udfvm.SignatureError, match=r"function 'ratio' that register\(\) did not"):
        udfvm.duckdb.register(con.cursor(), ratio)
    with pytest.raises(udfvm.SignatureError, match="are the same name in SQL"):
        udfvm.duckdb.register(con, ratio, total.with_options(name="RATIO"))
    udfvm.duckdb.register(con, total, name="Ratio")
    assert con.cursor().execute("SELECT ratio(1, 2)").fetchall() == [(3.0,)]
    with pytest.raises(udfvm.UnknownUDFError, match="no function 'other'"):
        udfvm.duckdb.unregister(con, "ratio", "other")
    udfvm.duckdb.unregister(con, "ratio", total)
    with pytest.raises(duckdb.CatalogException):
        con.execute("SELECT ratio(1, 2)")
    with pytest.raises(udfvm.UnknownUDFError, match="no function 'ratio'"):
        udfvm.duckdb.unregister(con, "ratio")


def test_what_duckdb_cannot_have(con: duckdb.DuckDBPyConnection) -> None:
    whole = udfvm.udf(lambda x: x, name="whole", vectorized=True, input_types=["double"],
                      output_type="double")  # fmt: skip
    with pytest.raises(udfvm.SignatureError, match=r"declare elementwise=True"):
        udfvm.duckdb.register(con, whole)
    wide = udfvm.udf(
        lambda x: x, name="wide", input_types=["decimal256(50, 2)"], output_type="double"
    )
    with pytest.raises(udfvm.TypeMappingError, match=r"'wide': DuckDB has no type.*at most 38"):
        udfvm.duckdb.register(con, wide)
    with pytest.raises(
        udfvm.SignatureError, match=r"connection of duckdb first, .*default_connection"
    ):
        udfvm.duckdb.register(ratio)


def test_columns_of_numbers_take_the_short_way(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first call, no code of Python makes those of numbers without nulls."""

    @udfvm.udf
    def inverse(a: float, b: int) -> float:
        return b / a

    udfvm.duckdb.register(con, inverse)
    query = "SELECT sum(inverse(range + 1, range)) FROM range({})"
    expected = sum(i / (i + 1) for i in range(5000))
    assert con.execute(query.format(5000)).fetchone() == (pytest.approx(expected),)
    call, made = Calls.call, []

    def counted(self: Calls, arguments: tuple[Any, ...]) -> Any:
        made.append(arguments)
        return call(self, arguments)

    monkeypatch.setattr(Calls, "call", counted)
    assert con.execute(query.format(5000)).fetchone() == (pytest.approx(expected),)
    assert made == []
    with pytest.raises(duckdb.InvalidInputException, match="ZeroDivisionError") as caught:
        con.execute("SELECT inverse(2 - range, 1) FROM range(5)").fetchall()
    assert "row 2 of its batch" in str(caught.value), str(caught.value)
    assert made == []
    rows = con.execute("SELECT inverse(1, nullif(range, 1)) FROM range(3)").fetchall()
    assert rows == [(0.0,), (None,), (2.0,)] and len(made) == 1


def test_forked_children_have_no_calls_of_other_threads() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        udfvm.duckdb.register(connection, patient)
        assert connection.execute("SELECT patient(1)").fetchall() == [(1.0,)]
        thread = threading.Thread(target=_interrupted, args=[connection])
        thread.start()
        while not engine_calls.calls_run():
            time.sleep(0.01)
        child = os.fork()
        if not child:
            os._exit(int(engine_calls.calls_run()))
        assert os.waitpid(child, 0)[1] == 0
        assert engine_calls.calls_run()
        connection.interrupt()
        thread.join()
        assert not engine_calls.calls_run()


@udfvm.udf(timeout=1000)
def patient(x: float) -> float:
    while x < 0:
        pass
    return x


def _interrupted(connection: duckdb.DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):
        connection.execute("SELECT patient(-1)").fetchall()
