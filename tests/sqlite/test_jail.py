"""SQL with VMs that run in processes of their own: rows that stream, and what ends them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Literal

import apsw
import pytest
from jails import jails, new_jails, wait_for_its_end

import udfvm
import udfvm.sqlite
from udfvm.protocol import STREAM_REPLY

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
ROWS_BEFORE_STREAMING = 8  # STREAM_AFTER
BEFORE = jails()

POOL = udfvm.Pool(size=1, jail=True)


@udfvm.udf(pool=POOL)
def odd(i: int, what: str) -> int:
    if what == "print" and i == 50:
        print("fifty")
    if what == "raise" and i == 50:
        raise ValueError("fifty")
    while what == "loop" and i == 50:
        pass
    return i


@udfvm.udf(pool=POOL, timeout=30)
def forge(i: int, number: int) -> int:
    import ctypes

    if i == 100:
        header = (ctypes.c_uint64 * 3).from_address(STREAM_REPLY)
        header[1], header[2] = 16, 7
        header[0] = number
        while True:
            pass
    return i


odd_soon = odd.with_options(name="odd_soon", timeout=0.3)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, odd, odd_soon, forge)
    yield connection
    connection.close()


def total(connection: apsw.Connection, rows: int, what: str, name: str = "odd") -> object:
    sql = f"{NUMBERS.format(rows)} SELECT sum({name}(i, ?)) FROM n"
    return next(iter(connection.execute(sql, (what,))))[0]


def test_rows_stream(connection: apsw.Connection, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert total(connection, 5000, "none") == 5000 * 5001 // 2
    assert total(connection, 100, "print") == 5050
    assert capfd.readouterr().out == "fifty\n"


def test_what_goes_wrong_in_a_row(connection: apsw.Connection) -> None:
    for _ in range(2):
        with pytest.raises(apsw.SQLError, match="ValueError: fifty"):
            total(connection, 100, "raise")
        with pytest.raises(apsw.SQLError, match="did not end within"):
            total(connection, 100, "loop", "odd_soon")
        assert total(connection, 60, "none") == 60 * 61 // 2


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one processor no row is streamed"
)
def test_a_forged_reply_is_refused_in_each_statement(connection: apsw.Connection) -> None:
    """Each begins to stream with the same row, so the number of the reply is known."""
    sql = f"{NUMBERS.format(200)} SELECT sum(forge(i, ?)) FROM n"
    for _ in range(2):
        with pytest.raises(apsw.SQLError, match="status that does not exist"):
            connection.execute(sql, (100 - ROWS_BEFORE_STREAMING,)).fetchall()


@pytest.mark.skipif(os.geteuid() != 0, reason="others do not see into the processes")
def test_a_process_that_is_killed_between_rows(connection: apsw.Connection) -> None:
    rows = connection.execute(NUMBERS.format(10_000) + " SELECT odd(i, '') FROM n")
    assert [next(rows)[0] for _ in range(100)] == list(range(1, 101))
    for process in new_jails(BEFORE):
        os.kill(process, signal.SIGKILL)
        wait_for_its_end(process)
    with pytest.raises(apsw.SQLError, match="process that the micro-VM ran in"):
        rows.fetchall()
    assert total(connection, 100, "none") == 5050


LETTERS = 60_000_000


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_a_connection_closes_after_a_large_result(isolation: Literal["statement", "row"]) -> None:
    """Restoring takes so long that interrupts are looked for, by a statement of SQLite's."""

    @udfvm.udf(pool=POOL, isolation=isolation, memory="512MiB")
    def letters(count: int) -> str:
        return "a" * count

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, letters)
    sql = "SELECT length(letters(?))"
    assert connection.execute(sql, (LETTERS,)).fetchall() == [(LETTERS,)]
    connection.close()
