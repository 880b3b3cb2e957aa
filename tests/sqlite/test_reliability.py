"""Interrupts, progress handlers and failures in the middle of statements: nothing is lost but the
statement.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import apsw
import pytest
from busy_processes import when_busy

import udfvm
import udfvm.sqlite

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
FIRST_ROW, LATE_ROW = 1, 100  # by an exit call, by a streaming call


@udfvm.udf(timeout=60)
def loop_at(i: int, at: int) -> int:
    while i == at:
        pass
    return i


@udfvm.udf(timeout=60)
def sleep_at(i: int, at: int) -> int:
    import time

    if i == at:
        time.sleep(50)
    return i


@udfvm.udf(timeout=0.5)
def treacherous(i: int) -> int:
    """Fails at a few rows, in every way there is."""
    import ctypes
    import os

    way = i % 331
    if way == 17:
        raise ValueError(f"row {i}")
    if way == 77 and i % 3 == 0:
        ctypes.string_at(8)
    if way == 157 and i % 3 == 0:
        os._exit(1)
    if way == 237 and i % 63 == 56:
        while True:
            pass
    if way == 297 and i % 3 == 0:
        bytearray(1 << 40)
    return 3 * i


def fails(i: int) -> bool:
    """Whether ``treacherous`` does."""
    way = i % 331
    often = way == 17 or (way in (77, 157, 297) and i % 3 == 0)
    return often or (way == 237 and i % 63 == 56)


@udfvm.udf
def plus_one(i: int) -> int:
    return i + 1


@udfvm.udf
def seen(i: int) -> int:
    _seen.append(i)
    return len(_seen)


_seen: list[int] = []


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, loop_at, sleep_at, treacherous, plus_one, seen)
    connection.execute("CREATE TABLE kept(a); BEGIN; INSERT INTO kept VALUES (1)")
    yield connection
    assert connection.in_transaction
    connection.execute("COMMIT")
    assert connection.execute("SELECT count(*), sum(a) FROM kept").fetchall() == [(1, 1)], (
        "all but the statement is kept"
    )
    assert connection.execute(ROWS.format(50) + "SELECT sum(loop_at(i, 0)) FROM n").fetchall() == [
        (1275,)
    ]
    connection.close()


def select(function: str, row: int) -> str:
    return ROWS.format(200) + f"SELECT sum({function}(i, {row})) FROM n"


@pytest.mark.parametrize("row", [FIRST_ROW, LATE_ROW])
@pytest.mark.parametrize("function", ["loop_at", "sleep_at"])
def test_interrupt_in_a_long_call(connection: apsw.Connection, function: str, row: int) -> None:
    timer = when_busy(connection.interrupt)
    with pytest.raises(apsw.InterruptError):
        connection.execute(select(function, row)).fetchall()
    timer.join()


def test_an_interrupted_write_takes_its_transaction_along(connection: apsw.Connection) -> None:
    """That is SQLite's own rule for interrupts; limits and failures of the guest are no
    interrupts.
    """
    other = apsw.Connection(":memory:")
    udfvm.sqlite.register(other, loop_at, treacherous)
    other.execute("CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.SQLError):
        other.execute("INSERT INTO t SELECT treacherous(17)")
    assert other.in_transaction
    timer = when_busy(other.interrupt)
    with pytest.raises(apsw.InterruptError):
        other.execute("INSERT INTO t SELECT loop_at(1, 1)")
    timer.join()
    assert not other.in_transaction and other.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    other.close()


@pytest.mark.parametrize("row", [FIRST_ROW, LATE_ROW])
@pytest.mark.parametrize("steps", [100, 20_000])
def test_progress_handler_in_a_long_call(connection: apsw.Connection, row: int, steps: int) -> None:
    until = time.monotonic() + 0.3
    connection.set_progress_handler(lambda: time.monotonic() > until, steps)
    with pytest.raises(apsw.InterruptError):
        connection.execute(select("loop_at", row)).fetchall()
    connection.set_progress_handler(None)


def test_a_progress_handler_that_raises(connection: apsw.Connection) -> None:
    until = time.monotonic() + 0.2

    def handler() -> bool:
        if time.monotonic() > until:
            raise RuntimeError("enough")
        return False

    connection.set_progress_handler(handler, 100)
    with pytest.raises(RuntimeError, match="enough"):
        connection.execute(select("loop_at", LATE_ROW)).fetchall()
    connection.set_progress_handler(None)


def test_an_authorizer_that_refuses_everything_new(connection: apsw.Connection) -> None:
    """The watch runs a little statement of its own; where it may not, a call still ends by its
    limits and by interrupts.
    """
    timer = when_busy(connection.interrupt)
    connection.authorizer = lambda operation, *_: (
        apsw.SQLITE_DENY if operation == apsw.SQLITE_RECURSIVE else apsw.SQLITE_OK
    )
    try:
        with pytest.raises(apsw.InterruptError):
            connection.execute("SELECT loop_at(5, 5)").fetchall()
    finally:
        timer.join()
        connection.authorizer = None


def test_statements_in_statements(connection: apsw.Connection) -> None:
    """A trigger's firing is an execution of its own; subqueries and recursion belong to their
    statement.
    """
    other = apsw.Connection(":memory:")
    udfvm.sqlite.register(other, seen, plus_one, in_schema=True)
    other.execute("CREATE TABLE log(n); CREATE TABLE t(a)")
    other.execute(
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log SELECT seen(new.a); END"
    )
    other.execute("INSERT INTO t " + ROWS.format(30) + "SELECT seen(i) FROM n")
    assert other.execute("SELECT max(a), count(*) FROM t").fetchall() == [(30, 30)]
    assert other.execute("SELECT min(n), max(n), count(*) FROM log").fetchall() == [(1, 1, 30)]
    recursive = (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT plus_one(i) FROM n WHERE i < 1000)"
        " SELECT max(i), count(*) FROM n"
    )
    assert other.execute(recursive).fetchall() == [(1000, 1001)]
    other.close()


def test_interleaved_statements_with_streaming_calls(connection: apsw.Connection) -> None:
    sql = ROWS.format(500) + "SELECT seen(i), plus_one(i) FROM n"
    cursors = [connection.execute(sql + " " * i) for i in range(4)]
    for expected in range(1, 501):
        for cursor in cursors:
            assert next(cursor) == (expected, expected + 1)
    assert [list(cursor) for cursor in cursors] == [[]] * 4


def test_threads_with_streaming_calls() -> None:
    results: list[object] = []

    def work() -> None:
        mine = apsw.Connection(":memory:")
        udfvm.sqlite.register(mine, seen, plus_one)
        for _ in range(3):
            results.append(
                mine.execute(
                    ROWS.format(2000) + "SELECT max(seen(i)), sum(plus_one(i)) FROM n"
                ).fetchall()
            )
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[(2000, 2003000)]] * 12


def copied(connection: apsw.Connection, start: int, end: int) -> str | None:
    """Computes rows into the table. Returns what the statement failed with.

    A busy machine may keep any row from its end in time: then the statement is made again.
    """
    sql = "INSERT INTO done SELECT i, treacherous(i) FROM source WHERE i >= ? AND i < ? ORDER BY i"
    while True:
        try:
            connection.execute(sql, (start, end))
        except apsw.SQLError as error:
            late = re.search(r"row (\d+): the call did not end within", str(error))
            if late is None or fails(start + int(late[1])):
                return str(error)
        else:
            return None


def run_with_failures(rows: int, chunk: int) -> int:
    """Computes every row into a table, a statement for a chunk, and goes on behind each row that
    fails. Returns how many failed.
    """
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, treacherous)
    connection.execute(
        "CREATE TABLE source(i INTEGER PRIMARY KEY); CREATE TABLE done(i INTEGER PRIMARY KEY, r"
        " INTEGER)"
    )
    connection.execute(f"INSERT INTO source {ROWS.format(rows)} SELECT i FROM n")
    failed = 0
    for first in range(1, rows + 1, chunk):
        start, end = first, min(first + chunk, rows + 1)
        connection.execute("BEGIN")
        while start < end:
            bad = next((i for i in range(start, end) if fails(i)), end)
            if bad < end:
                message = copied(connection, start, end)
                assert message is not None and f"row {bad - start}: " in message
                failed += 1
            assert copied(connection, start, bad) is None
            start = bad + 1
        connection.execute("COMMIT")
    good = [i for i in range(1, rows + 1) if not fails(i)]
    assert failed == rows - len(good)
    assert connection.execute("SELECT count(*), sum(i), sum(r) FROM done").fetchall() == [
        (len(good), sum(good), 3 * sum(good))
    ]
    connection.close()
    return failed


def test_rows_with_failures_in_between_lose_nothing() -> None:
    assert run_with_failures(7500, 500) > 30


@pytest.mark.slow
def test_many_rows_with_failures_in_between_lose_nothing() -> None:
    """Large statements, and a row that does not end. As long as the other processor is busy, a row
    is an exit: that is the cost of this test.
    """
    assert run_with_failures(12_000, 3000) > 70


# ---- Types at their edges ----


@udfvm.udf(timeout=120, memory="256MiB")
def same_bytes(data: bytes) -> bytes:
    return data


@udfvm.udf(isolation="row", timeout=120, memory="256MiB")
def same_bytes_row(data: bytes) -> bytes:
    return data


@udfvm.udf(timeout=120, memory="256MiB")
def length(data: bytes) -> int:
    return len(data)


@udfvm.udf(timeout=120)
def text_of(data: str) -> int:
    return len(data)


@udfvm.udf(timeout=120)
def same_text(data: str) -> str:
    return data


@pytest.fixture(scope="module")
def large() -> Iterator[apsw.Connection]:
    """A table with a BLOB and a TEXT of 100 MiB."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, same_bytes, same_bytes_row, length, text_of, same_text)
    connection.execute("CREATE TABLE t(b, t)")
    connection.execute(
        "INSERT INTO t VALUES (?, ?)", (bytes(range(256)) * (100 << 12), "ä\0bc" * (20 << 20))
    )
    yield connection
    connection.close()


@pytest.mark.parametrize("function", ["same_bytes", "same_bytes_row"])
def test_large_blobs(large: apsw.Connection, function: str) -> None:
    assert large.execute(
        f"SELECT x = b, length(x) FROM (SELECT {function}(b) AS x, b FROM t)"
    ).fetchall() == [(1, 100 << 20)]
    mapped = f"SELECT value = b, length(value) FROM vm_map('{function}', 'SELECT 1, b FROM t'), t"
    assert large.execute(mapped).fetchall() == [(1, 100 << 20)]


def test_large_text_with_streaming_calls(large: apsw.Connection) -> None:
    """In the twelfth row: by then the statement streams."""
    rows = f"{ROWS.format(12)} SELECT CASE i WHEN 12 THEN t ELSE 'x' END AS a FROM n, t"
    found = large.execute(f"SELECT same_text(a) = a, text_of(a) FROM ({rows})").fetchall()
    assert found == [(1, 1)] * 11 + [(1, 80 << 20)]


@pytest.mark.parametrize("function", ["length", "same_bytes", "same_bytes_row"])
def test_what_is_too_large_is_an_error_and_no_more(large: apsw.Connection, function: str) -> None:
    for size in (128 << 20, 144 << 20):
        with pytest.raises(apsw.SQLError, match=r"row 0: .*(window|limit)"):
            large.execute(f"SELECT {function}(zeroblob({size}))").fetchall()
    mapped = (
        f"SELECT value = {size} OR value = zeroblob({size}) FROM vm_map('{function}', 'SELECT"
        f" 1, zeroblob({size})')"
    )
    # A batch gets windows as large as it takes,
    assert large.execute(mapped).fetchall() == [(1,)]
    with pytest.raises(
        apsw.SQLError, match=r"row 0: .* do not fit into the input window .* raise memory="
    ) as raised:
        large.execute(
            f"SELECT value FROM vm_map('{function}', 'SELECT 1, zeroblob({257 << 20})')"
        ).fetchall()  # up to the memory
    assert isinstance(raised.value.__cause__, udfvm.InputTooLargeError)
    with pytest.raises(apsw.SQLError, match=r"row 0: .*(window|limit|raise memory=)"):
        large.execute(
            f"SELECT value FROM vm_map('{function}', 'SELECT 1, zeroblob({250 << 20})')"
        ).fetchall()
    assert large.execute(
        "SELECT same_bytes(x''), text_of(''), typeof(same_bytes_row(x''))"
    ).fetchall() == [(b"", 0, "blob")]
    empty = "SELECT typeof(value), length(value) FROM vm_map('same_bytes', 'SELECT 1, zeroblob(0)')"
    assert large.execute(empty).fetchall() == [("blob", 0)]


@pytest.mark.parametrize("text", ["80", "c0af", "eda080", "f4908080", "e282", "fe", "61ff62"])
def test_invalid_utf8_is_an_error_and_no_more(text: str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, text_of)
    with pytest.raises(apsw.SQLError, match="not valid UTF-8"):
        connection.execute(f"SELECT text_of(CAST(x'{text}' AS TEXT))").fetchall()
    assert connection.execute("SELECT text_of('é')").fetchall() == [(1,)]
    connection.close()
