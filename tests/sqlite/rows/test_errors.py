"""Errors, limits, interrupts, and replies that no honest guest makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import apsw
import pytest
from busy_processes import await_busy, when_busy
from row_functions import NUMBERS, Query, error_of, reply


def test_guest_exception(query: Query) -> None:
    text = error_of(query, NUMBERS + "SELECT picky(i) FROM n")
    first, *traceback = text.splitlines()
    assert first == "UDF 'picky', row 2: ValueError: 3 is too much"
    assert traceback[0] == "Traceback (most recent call last):"
    assert any('raise ValueError(f"{value} is too much")' in line for line in traceback)


def test_timeout(query: Query) -> None:
    assert "0.3 s" in error_of(query, "SELECT endless(1)")


def test_crash(query: Query) -> None:
    assert error_of(query, "SELECT crash(1)").startswith("UDF 'crash', row 0: ")


def test_transaction_survives_an_error(shared: apsw.Connection, query: Query) -> None:
    query("CREATE TABLE kept(value)")
    query("BEGIN")
    query("INSERT INTO kept VALUES (1)")
    error_of(query, "INSERT INTO kept " + NUMBERS + "SELECT picky(i) FROM n")
    assert shared.in_transaction
    query("COMMIT")
    assert query("SELECT value FROM kept") == [(1,)]


@pytest.mark.parametrize(
    ("data", "status", "expected"),
    [
        (b"", 0, "too short"),
        (reply(3, 0, 16)[:15], 0, "too short"),
        (reply(1, 0, 7), 0, "not of the declared type"),
        (reply(99, 0, 0), 0, "not of the declared type"),
        (reply(3, 1, 16), 0, "outside of the reply"),
        (reply(3, 2**32 - 1, 16, b"abc"), 0, "outside of the reply"),
        (reply(3, 8, 2**64 - 4, b"abc"), 0, "outside of the reply"),
        (reply(3, 1, 2**63), 0, "outside of the reply"),
        (reply(3, 2, 16, b"\xc0\x80"), 0, "not valid UTF-8"),
        (reply(3, 3, 16, b"\xed\xa0\x80"), 0, "not valid UTF-8"),
        (b"\xff" * 8, 1, "error report is too short"),
        (b"\xff" * 24, 1, "error report is longer than its reply"),
    ],
)
def test_replies_are_checked(query: Query, data: bytes, status: int, expected: str) -> None:
    assert expected in error_of(query, "SELECT raw_reply(?, ?)", data, status)


def test_a_reply_by_hand(query: Query) -> None:
    assert query("SELECT raw_reply(?, 0)", reply(3, 2, 16, b"ok")) == [("ok",)]


def test_error_text_of_a_hostile_guest(query: Query) -> None:
    header = (4).to_bytes(4, "little") + (3).to_bytes(4, "little") + bytes(16)
    assert "UDF 'raw_reply', row 0: Bad\ufffd: a\\x00b" in error_of(
        query, "SELECT raw_reply(?, 1)", header + b"Bad\xffa\0b"
    )


def test_sqlite_interrupt(shared: apsw.Connection, query: Query) -> None:
    endless_rows = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(same_int(i))"
        " FROM n"
    )
    interrupter = when_busy(shared.interrupt)
    with pytest.raises(apsw.InterruptError):
        query(endless_rows)
    interrupter.join()
    assert query("SELECT same_int(1)") == [(1,)]


def test_control_c_interrupts_a_running_call() -> None:
    program = textwrap.dedent("""
        import apsw, udfvm, udfvm.sqlite

        @udfvm.udf(timeout=60)
        def forever(value: int) -> int:
            while True:
                pass

        @udfvm.udf
        def same(value: int) -> int:
            return value

        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, forever, same)
        connection.execute("SELECT same(1)").fetchall()
        forever.prepare()
        print("ready", flush=True)
        try:
            connection.execute("SELECT forever(1)").fetchall()
        except KeyboardInterrupt:
            print("interrupted", connection.execute("SELECT same(2)").fetchall(), flush=True)
        """)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        await_busy(process.pid)
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted [(2,)]\n"
    assert process.returncode == 0
