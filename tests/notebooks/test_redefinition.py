"""A cell that defines a function anew: the new one is what connections and registries call."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite

interactiveshell = pytest.importorskip("IPython.core.interactiveshell")

PRICE = """%%udf
def price(x: int) -> int:
    return {} * x
"""


class Shell:
    """Cells in a shell of IPython that has the extension."""

    def __init__(self) -> None:
        self.shell: Any = interactiveshell.InteractiveShell()
        self.run("import udfvm\n%load_ext udfvm")

    def run(self, cell: str) -> Any:
        done = self.shell.run_cell(cell)
        done.raise_error()
        return done.result

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]


@pytest.fixture
def shell() -> Iterator[Shell]:
    made = Shell()
    yield made
    made.run("%unload_ext udfvm")


def value(connection: Any, sql: str) -> Any:
    return connection.execute(sql).fetchall()[0][0]


def test_everywhere(shell: Shell) -> None:
    shell.run(PRICE.format(2))
    first = shell["price"]
    connections = [apsw.Connection(":memory:"), sqlite3.connect(":memory:")]
    for connection in connections:
        udfvm.sqlite.register(connection, first)
        udfvm.sqlite.register(connection, first, name="Cost", isolation="row")
    udfvm.arrow.register(None, first, name="price_of_a_notebook")
    shell.run(PRICE.format(3))
    for connection in connections:
        assert value(connection, "SELECT price(5)") == 15
        assert value(connection, "SELECT cost(5)") == 15
        assert value(connection, "SELECT vm_udf('price', 5)") == 15
        connection.close()
    found = pc.call_function("price_of_a_notebook", [pa.array([5])])
    assert found.to_pylist() == [15]
    assert shell["price"] is not first and first(5) == 10
    udfvm.arrow.unregister(None, "price_of_a_notebook")


def test_duckdb(shell: Shell) -> None:
    duckdb = pytest.importorskip("duckdb")
    con, closed = duckdb.connect(), duckdb.connect()
    shell.run(PRICE.format(2))
    for each in (con, closed):
        udfvm.duckdb.register(each, shell["price"])
    closed.close()
    shell.run("@udfvm.udf\ndef price(x: float) -> float:\n    return x / 2")
    assert con.sql("SELECT price(5.0::DOUBLE)").fetchall() == [(2.5,)]


def test_what_is_unregistered_stays_so(shell: Shell) -> None:
    connection = apsw.Connection(":memory:")
    shell.run(PRICE.format(2))
    udfvm.sqlite.register(connection, shell["price"])
    udfvm.sqlite.unregister(connection, "PRICE")
    shell.run(PRICE.format(3))
    with pytest.raises(apsw.SQLError, match="no such function: price"):
        connection.execute("SELECT price(5)")


def test_another_function_of_the_name_stays(shell: Shell) -> None:
    connection = apsw.Connection(":memory:")
    shell.run(PRICE.format(2))
    udfvm.sqlite.register(connection, shell["price"])
    shell.run(
        "other = udfvm.udf(lambda x: -x, name='o', input_types=['int64'], output_type='int64')"
    )
    udfvm.sqlite.register(connection, shell["other"], name="price")
    shell.run(PRICE.format(3))
    assert value(connection, "SELECT price(5)") == -5


def test_names_that_change_places_replace_nothing(shell: Shell) -> None:
    connection = apsw.Connection(":memory:")
    shell.run(PRICE.format(2))
    shell.run(PRICE.format(3).replace("price", "cost"))
    udfvm.sqlite.register(connection, shell["price"], shell["cost"])
    shell.run("price, cost = cost, price")
    assert value(connection, "SELECT price(5)") == 10
    shell.run("kept = price")
    shell.run(PRICE.format(7))
    assert value(connection, "SELECT cost(5)") == 15  # it has the name kept


def test_a_target_that_cannot_take_it_is_told(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t(x)")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    shell.run(PRICE.format(2))
    udfvm.sqlite.register(connection, shell["price"])
    running = connection.execute("SELECT price(x) FROM t")
    assert next(running) == (2,)
    shell.run(PRICE.format(3))
    told = capsys.readouterr().err
    assert told.startswith("price is still the function of before in a Connection: ")
    assert list(running) == [(4,)]
    shell.run(PRICE.format(4))  # the last one takes the first one's place
    assert value(connection, "SELECT price(1)") == 4


def test_closed_connections_are_no_error(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    connections = [apsw.Connection(":memory:"), sqlite3.connect(":memory:")]
    shell.run(PRICE.format(2))
    for connection in connections:
        udfvm.sqlite.register(connection, shell["price"])
        connection.close()
    shell.run(PRICE.format(3))
    assert not capsys.readouterr().err
