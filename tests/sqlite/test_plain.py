"""Connections of the standard library's sqlite3 that load no extensions."""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import signal
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_functions import fails as fails_in_group
from batch_functions import middle, words
from interrupts import interrupting
from plain_connections import connect
from row_functions import NUMBERS, UDFS, counter, same_int, score, type_of

import udfvm
import udfvm.sqlite

GENERIC = "user-defined "


@pytest.fixture(scope="module")
def shared() -> Iterator[sqlite3.Connection]:
    connection = connect()
    udfvm.sqlite.register(connection, *UDFS, middle, fails_in_group)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("score(12, 300), score(12.5, 250), score(NULL, 1), score(1, 0)", [(4.0, 5.0, None, None)]),
        ("same_int(9223372036854775807), not_a_number()", [(2**63 - 1, None)]),
        ("same_bool(1), same_text('a' || char(0)), same_blob(x'')", [(1, "a\0", b"")]),
        ("type_of(NULL), type_of('x')", [("NoneType", "str")]),
        ("vm_udf('score', 12, 300)", [(4.0,)]),
        ("counter(i), vm_udf('counter', i) FROM (SELECT 1 AS i UNION SELECT 2)", [(1, 1)] * 2),
    ],
)
def test_values(shared: sqlite3.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert shared.execute(f"SELECT {sql}").fetchall() == rows


@pytest.mark.parametrize(
    ("sql", "text", "cause"),
    [
        ("picky(7)", "UDF 'picky': ValueError: 7 is too much\nTraceback", udfvm.UDFError),
        (
            "same_int('a')",
            "UDF 'same_int': argument 'value' (position 1) takes INTEGER; got TEXT",
            udfvm.TypeMappingError,
        ),
        ("vm_udf('absent')", "no UDF named 'absent'", udfvm.UnknownUDFError),
        ("endless(1)", "UDF 'endless': the call did not end within 0.3 s", udfvm.CallTimeoutError),
        ("crash(1)", "UDF 'crash': the guest program crashed: signal", udfvm.GuestCrashError),
        ("fails(5)", "UDF 'fails', row 0: ValueError: five", udfvm.UDFError),
        ("fails(1)", "UDF 'fails': LookupError: no value", udfvm.UDFError),
    ],
)
def test_errors_have_their_texts_on_demand(
    shared: sqlite3.Connection, sql: str, text: str, cause: type[Exception]
) -> None:
    with pytest.raises(sqlite3.OperationalError) as raised:
        shared.execute(f"SELECT {sql}").fetchall()
    assert str(raised.value).startswith(GENERIC)
    found = udfvm.sqlite.last_error(shared)
    assert type(found) is cause and text in str(found)
    assert shared.execute("SELECT vm_last_error()").fetchone() == (str(found),)
    with pytest.raises(sqlite3.OperationalError) as raised:
        with udfvm.sqlite.real_errors(shared):
            shared.execute(f"SELECT {sql}").fetchall()
    assert text in str(raised.value) and type(raised.value.__cause__) is cause
    assert shared.execute("SELECT score(12, 300)").fetchone() == (4.0,)


def test_errors_that_are_not_of_functions_keep_their_texts(shared: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        with udfvm.sqlite.real_errors(shared):
            shared.execute("SELECT * FROM absent")
    shared.create_function("own", 0, lambda: 1 / 0)
    with pytest.raises(sqlite3.OperationalError, match=GENERIC):
        with udfvm.sqlite.real_errors(shared):
            shared.execute("SELECT own()")
    with udfvm.sqlite.real_errors(shared), pytest.raises(sqlite3.OperationalError, match=GENERIC):
        shared.execute("SELECT picky(7)")


def test_libraries_errors_have_the_text(shared: sqlite3.Connection) -> None:
    with pytest.raises(RuntimeError) as raised, udfvm.sqlite.real_errors(shared):
        try:
            shared.execute("SELECT picky(7)")
        except sqlite3.Error as error:
            raise RuntimeError(f"(sqlite3) {error}") from error
    assert str(raised.value).startswith("(sqlite3) UDF 'picky': ValueError: 7 is too much")


def test_aggregates_and_windows(shared: sqlite3.Connection) -> None:
    groups = "SELECT i % 2, middle(i) FROM n GROUP BY 1"
    assert shared.execute(NUMBERS + groups).fetchall() == [(0, 4.0), (1, 3.0)]
    windows = (
        "SELECT middle(i) OVER (ORDER BY i ROWS 1 PRECEDING), middle(i) OVER (),"
        " middle(i) OVER (ORDER BY i) FROM n"
    )
    assert shared.execute(NUMBERS + windows).fetchall() == [
        (1.0, 3.0, 1.0), (2.0, 3.0, 2.0), (3.0, 3.0, 2.0), (4.0, 3.0, 3.0), (5.0, 3.0, 3.0),
    ]  # fmt: skip
    assert shared.execute("SELECT middle(x) FROM (SELECT 1 AS x WHERE 0)").fetchall() == [(None,)]


@pytest.mark.parametrize("sql", ["waits(1)", "gathers(1)"])
@pytest.mark.parametrize("way", ["interrupt", "progress handler"])
def test_an_interrupt_ends_a_call(sql: str, way: str) -> None:
    connection = connect(check_same_thread=False)
    udfvm.sqlite.register(connection, waits, gathers)
    assert connection.execute("SELECT waits(0), gathers(0)").fetchall() == [(0, 0)]
    interrupts = interrupting(connection) if way == "interrupt" else contextlib.nullcontext()
    if way == "progress handler":
        connection.set_progress_handler(lambda: 1, 1000)
    with pytest.raises(sqlite3.OperationalError) as raised, udfvm.sqlite.real_errors(connection):
        with interrupts:
            connection.execute(f"SELECT {sql}").fetchall()
    assert str(raised.value) == "interrupted"
    connection.set_progress_handler(None, 0)
    assert connection.execute("SELECT waits(0), gathers(0)").fetchall() == [(0, 0)]
    connection.close()


def send_a_signal_soon() -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()


@udfvm.udf(timeout=100, host_functions=[send_a_signal_soon])
def waits(value: int) -> int:
    if value == 2:
        send_a_signal_soon()
    while value:
        pass
    return value


@udfvm.aggregate(timeout=100)
class gathers:
    def __init__(self) -> None:
        self.seen = 0

    def step(self, value: int) -> None:
        self.seen += value

    def finish(self) -> int:
        while self.seen:
            pass
        return self.seen


def test_dates_defaults_and_any_number_of_arguments() -> None:
    @udfvm.udf
    def due(sent: datetime.date, days: int = 1, *more: int) -> datetime.date:
        return sent + datetime.timedelta(days=days + sum(more))

    connection = connect()
    udfvm.sqlite.register(connection, due, times="text", name="deadline")
    sql = "SELECT deadline('2026-01-31'), deadline('2026-01-31', 2), deadline('2026-01-31', 2, 3)"
    assert connection.execute(sql).fetchall() == [("2026-02-01", "2026-02-02", "2026-02-05")]
    with pytest.raises(sqlite3.OperationalError, match="wrong number of arguments"):
        connection.execute("SELECT deadline()")
    connection.close()


def test_registered_again_and_removed() -> None:
    connection = connect()
    udfvm.sqlite.register(connection, score, same_int)
    udfvm.sqlite.register(connection, type_of, name="score")
    with pytest.raises(udfvm.SignatureError, match="differs from it by case alone"):
        udfvm.sqlite.register(connection, score, name="Score")
    assert connection.execute("SELECT score('x'), same_int(1)").fetchall() == [("str", 1)]
    with pytest.raises(udfvm.SignatureError, match="SQL has a function 'abs' already"):
        udfvm.sqlite.register(connection, same_int, name="abs", replace=False)
    running = connection.execute(NUMBERS + "SELECT same_int(i) FROM n")
    with pytest.raises(udfvm.SQLConnectionError, match="same_int: cannot be redefined while"):
        udfvm.sqlite.register(connection, counter, same_int)
    with pytest.raises(udfvm.SQLConnectionError, match="same_int: cannot be removed while"):
        udfvm.sqlite.unregister(connection, same_int)
    with pytest.raises(sqlite3.OperationalError, match="no such function"):
        connection.execute("SELECT counter(1)")
    assert running.fetchall() == [(1,), (2,), (3,), (4,), (5,)]
    with pytest.raises(udfvm.UnknownUDFError, match="no UDF named 'absent'"):
        udfvm.sqlite.unregister(connection, same_int, "absent")
    udfvm.sqlite.unregister(connection, same_int, "score")
    for sql in ("same_int(1)", "score('x')"):
        with pytest.raises(sqlite3.OperationalError):
            connection.execute(f"SELECT {sql}")
    connection.close()
    with pytest.raises(udfvm.SQLConnectionError, match="closed"):
        udfvm.sqlite.register(connection, same_int)


@pytest.mark.parametrize(
    ("functions", "options", "text"),
    [
        ([words], {}, "words is a table function, which needs the extension"),
        ([score], {"isolation": "statement"}, "isolation='statement' needs the extension"),
        ([], {"policy": udfvm.sqlite.Policy()}, "policy= needs the extension"),
    ],
)
def test_what_needs_the_extension_is_refused(
    functions: list[udfvm.Function], options: dict[str, Any], text: str
) -> None:
    connection = connect()
    with pytest.raises(udfvm.SignatureError, match=f"{text}.* built without .*apsw"):
        udfvm.sqlite.register(connection, *functions, **options)
    connection.close()


@pytest.mark.parametrize("call", ["same_int(1)", "vm_udf('same_int', 1)", "vm_last_error()"])
def test_a_strangers_schema_uses_no_function(call: str, tmp_path: Path) -> None:
    path = tmp_path / "stranger.db"
    with contextlib.closing(sqlite3.connect(path)) as stranger:
        stranger.execute("CREATE TABLE t(a, b)")
        stranger.execute(f"CREATE VIEW v AS SELECT {call}")
        stranger.execute(f"CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT {call}; END")
        stranger.execute(f"CREATE TABLE d(a, b DEFAULT ({call}))")
    connection = connect(path)
    udfvm.sqlite.register(connection, same_int)
    for sql in ("SELECT * FROM v", "INSERT INTO t VALUES (1, 2)", "INSERT INTO d(a) VALUES (1)"):
        with pytest.raises(sqlite3.OperationalError, match="unsafe use of"):
            connection.execute(sql)
    connection.close()


def test_a_schema_uses_functions_if_it_may(tmp_path: Path) -> None:
    connection = connect(tmp_path / "own.db")
    connection.execute("CREATE TABLE t(a)")
    connection.execute("CREATE VIEW v AS SELECT same_int(a) FROM t")
    steady = same_int.with_options(deterministic=True)
    udfvm.sqlite.register(connection, steady, in_schema=True)
    connection.execute("INSERT INTO t VALUES (4), (5)")
    connection.execute("CREATE INDEX i ON t(same_int(a))")
    assert connection.execute("SELECT * FROM v").fetchall() == [(4,), (5,)]
    connection.close()


@pytest.mark.parametrize("close", [True, False])
def test_a_connection_that_goes_lets_everything_go(close: bool) -> None:
    @udfvm.udf
    def passing(value: int) -> int:
        return value

    connection = connect()
    udfvm.sqlite.register(connection, passing, middle)
    alive = weakref.ref(passing)
    rows = connection.execute(NUMBERS + "SELECT passing(i), middle(i) OVER (ORDER BY i) FROM n")
    assert rows.fetchone() == (1, 1.0)
    del passing
    gc.collect()
    assert alive() is not None
    if close:
        connection.close()
    del rows, connection
    gc.collect()  # sqlite3 finds its connections in circles of their own
    gc.collect()
    assert alive() is None


def test_a_function_may_ask_its_own_connection() -> None:
    connection = connect()
    udfvm.sqlite.register(connection, same_int)

    def look(value: int) -> int:
        found: int = connection.execute("SELECT same_int(?) + 1", (value,)).fetchone()[0]
        return found

    @udfvm.udf(host_functions=[look])
    def asks(value: int) -> int:
        return look(value) * 10

    udfvm.sqlite.register(connection, asks)
    assert connection.execute("SELECT asks(4)").fetchall() == [(50,)]
    connection.close()


def test_what_a_signal_raises_is_raised() -> None:
    connection = connect()
    udfvm.sqlite.register(connection, waits)
    assert connection.execute("SELECT waits(0)").fetchall() == [(0,)]
    with pytest.raises(KeyboardInterrupt) as raised, udfvm.sqlite.real_errors(connection):
        connection.execute("SELECT waits(2)")
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    assert connection.execute("SELECT waits(0)").fetchall() == [(0,)]
    connection.close()
