"""Registering functions, and what a schema can do with them."""

from __future__ import annotations

import gc
import sqlite3
import weakref
from pathlib import Path

import apsw
import pytest
from row_functions import NUMBERS, counter, same_int, score

import udfvm
import udfvm.sqlite


def test_register_again_replaces() -> None:
    connection = apsw.Connection(":memory:")

    @udfvm.udf(name="versioned")
    def first(value: int) -> str:
        return "first"

    @udfvm.udf(name="versioned")
    def second(value: int, other: int) -> str:
        return "second"

    udfvm.sqlite.register(connection, first)
    assert connection.execute("SELECT versioned(1), vm_udf('versioned', 1)").fetchall() == [
        ("first", "first")
    ]
    udfvm.sqlite.register(connection, second)
    assert connection.execute("SELECT versioned(1, 2), vm_udf('versioned', 1, 2)").fetchall() == [
        ("second", "second")
    ]
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT versioned(1)")
    connection.close()


def test_no_replacement_under_a_running_statement() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, counter)
    cursor = connection.execute(NUMBERS + "SELECT counter(i) FROM n")
    with pytest.raises(udfvm.SQLConnectionError, match="cannot be redefined while statements"):
        udfvm.sqlite.register(connection, same_int, counter)
    with pytest.raises(apsw.SQLError, match="no such function"):
        connection.execute("SELECT same_int(1)")  # all or nothing
    assert list(cursor) == [(1,), (2,), (3,), (4,), (5,)]
    connection.close()


def test_reserved_names() -> None:
    connection = apsw.Connection(":memory:")

    @udfvm.udf(name="vm_udf")
    def mine(value: int) -> int:
        return value

    with pytest.raises(udfvm.SignatureError, match="begins with vm_"):
        udfvm.sqlite.register(connection, mine)
    connection.close()


def test_extension_loading_is_left_as_it_was() -> None:
    for before in (0, 1):
        connection = apsw.Connection(":memory:")
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, before)
        udfvm.sqlite.register(connection, same_int)
        assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1) == before
        with pytest.raises(apsw.Error):
            connection.execute("SELECT load_extension('nothing')")
        connection.close()


def test_closing_lets_everything_go() -> None:
    @udfvm.udf
    def passing(value: int) -> int:
        return value

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, passing)
    alive = weakref.ref(passing)
    assert connection.execute("SELECT passing(3)").fetchall() == [(3,)]
    del passing
    gc.collect()
    assert alive() is not None and connection.execute("SELECT passing(4)").fetchall() == [(4,)]
    cursor = connection.execute(NUMBERS + "SELECT passing(i) FROM n")
    next(cursor)
    connection.close(force=True)
    del cursor, connection
    gc.collect()
    assert alive() is None


def test_standard_library_connection() -> None:
    connection = sqlite3.connect(":memory:")
    udfvm.sqlite.register(connection, score, counter)
    sql = NUMBERS + "SELECT score(i, 1), vm_udf('counter', i) FROM n"
    shared = hasattr(connection, "load_extension")
    assert connection.execute(sql).fetchall() == [
        (i * 100.0, i if shared else 1) for i in range(1, 6)
    ]
    connection.close()


def test_a_schema_cannot_use_the_functions(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "stranger.db"))
    udfvm.sqlite.register(connection, same_int)
    connection.execute("CREATE TABLE t(a); CREATE VIEW own AS SELECT same_int(a) FROM t")
    connection.execute("CREATE VIEW named AS SELECT vm_udf('same_int', a) FROM t")
    for view in ("own", "named"):
        with pytest.raises(apsw.SQLError, match="unsafe use of"):
            connection.execute(f"SELECT * FROM {view}")
    connection.close()


def test_in_schema(tmp_path: Path) -> None:
    @udfvm.udf(deterministic=True)
    def double(value: int) -> int:
        return 2 * value

    connection = apsw.Connection(str(tmp_path / "own.db"))
    udfvm.sqlite.register(connection, double, in_schema=True)
    connection.execute("CREATE TABLE t(a, twice GENERATED ALWAYS AS (double(a)))")
    connection.execute("CREATE INDEX i ON t(double(a)); INSERT INTO t VALUES (4), (5)")
    assert connection.execute("SELECT twice FROM t WHERE double(a) = 10").fetchall() == [(10,)]
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT a FROM t WHERE double(a) = 10").fetchall()
    assert "USING" in str(plan) and "INDEX i" in str(plan)
    connection.close()


def test_only_deterministic_udfs_may_be_indexed(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "own.db"))
    udfvm.sqlite.register(connection, same_int, in_schema=True)
    connection.execute("CREATE TABLE t(a)")
    with pytest.raises(apsw.SQLError, match="non-deterministic"):
        connection.execute("CREATE INDEX i ON t(same_int(a))")
    connection.close()
