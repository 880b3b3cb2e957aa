"""Rows of a statement that are streamed: from its ninth row on, the micro-VM stays entered
on a thread of its own.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.protocol import INPUT_BASE, MAX_SHORT, STREAM_REPLY, TYPE_INT64, TYPE_TEXT

TESTS = str(Path(__file__).resolve().parents[1])
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
_seen: list[int] = []


@udfvm.udf
def count(i: int) -> int:
    _seen.append(i)
    return len(_seen)


@udfvm.udf(timeout=60, log="strict")
def trap(i: int, what: str) -> int:
    import ctypes
    import time

    if i != 100:
        return i
    if what == "loop":
        while True:
            pass
    if what == "sleep":
        time.sleep(1000)
    if what == "raise":
        raise ValueError("row 100")
    if what == "crash":
        ctypes.string_at(8)
    if what == "exit":
        os._exit(3)
    if what == "print":
        print("x" * 100_000)
    if what == "port":
        from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, mmap

        code = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC)
        code.write(b"\xe6\x77\xc3")  # out %al, $0x77; ret
        ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    return 0


trap_soon = trap.with_options(name="trap_soon", timeout=0.3)
ROWS_BEFORE_STREAMING = 8  # rows of a statement that are exits


@udfvm.udf(timeout=60)
def forge(i: int, number: int, length: int, status: int) -> int:
    import ctypes

    if i == 100:
        header = (ctypes.c_uint64 * 3).from_address(STREAM_REPLY)
        header[1], header[2] = length & 0xFFFFFFFFFFFFFFFF, status
        header[0] = number & 0xFFFFFFFFFFFFFFFF
        while True:
            pass
    return i


forge_soon = forge.with_options(name="forge_soon", timeout=0.3)


@udfvm.udf(timeout=60)
def forge_short(i: int, number: int, reply: bytes) -> str:
    import ctypes

    if i == 100:
        header = (ctypes.c_uint64 * 3).from_address(STREAM_REPLY)
        ctypes.memmove(STREAM_REPLY + ctypes.sizeof(header), reply, len(reply))
        header[1], header[2] = len(reply), 0
        header[0] = number
        while True:
            pass
    return str(i)


@udfvm.udf
def left_behind(text: str, reversed_marker: str) -> int:
    import ctypes

    marker = reversed_marker.encode()[::-1]
    return ctypes.string_at(INPUT_BASE, 8192).count(marker) - text.encode().count(marker)


@udfvm.udf
def repeated(text: str, times: int) -> str:
    return text * times


@pytest.fixture
def connection() -> Any:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, count, trap, trap_soon, forge, forge_soon, forge_short, left_behind, repeated
    )
    yield connection
    connection.close()


def total(connection: Any, sql: str, *bindings: object) -> int:
    return next(iter(connection.execute(sql, bindings)))[0]


def test_state_lives_for_the_statement_and_no_longer(connection: Any) -> None:
    for _ in range(3):
        assert total(connection, ROWS.format(5000) + "SELECT max(count(i)) FROM n") == 5000


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("loop", "did not end within"),
        ("sleep", "did not end within"),
        ("raise", "ValueError: row 100"),
        ("crash", "SEGV"),
        ("exit", "exit status 3"),
        ("print", "standard output"),
        ("port", "I/O port 0x77|SEGV"),  # which of the two depends on the processor
    ],
)
def test_what_goes_wrong_in_a_row_is_an_error_of_the_statement(
    connection: Any, what: str, expected: str
) -> None:
    connection.execute("CREATE TABLE kept (x); BEGIN; INSERT INTO kept VALUES (1)")
    name = "trap_soon" if what in ("loop", "sleep") else "trap"
    for _ in range(2):
        with pytest.raises(apsw.SQLError, match=expected):
            total(connection, ROWS.format(200) + f"SELECT sum({name}(i, ?)) FROM n", what)
    assert total(connection, ROWS.format(50) + "SELECT sum(trap(i, 'none')) FROM n") == 50 * 51 // 2
    assert total(connection, "SELECT count(*) FROM kept") == 1
    connection.execute("COMMIT")


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one processor no row is streamed"
)
@pytest.mark.parametrize(
    ("length", "status", "expected"),
    [
        (1 << 62, 0, "larger than the limit"),
        (-1, 0, "larger than the limit"),
        (16, 7, "a status that does not exist"),
        (3, 0, "reply"),
        (3, 1, "error"),
    ],
)
def test_a_forged_reply_is_refused(
    connection: Any, length: int, status: int, expected: str
) -> None:
    sql = ROWS.format(200) + "SELECT sum({}(i, ?, ?, ?)) FROM n"
    with pytest.raises(apsw.SQLError, match=expected):
        total(connection, sql.format("forge"), 100 - ROWS_BEFORE_STREAMING, length, status)
    with pytest.raises(apsw.SQLError, match="did not end within"):
        total(connection, sql.format("forge_soon"), 12345, length, status)
    assert (
        total(connection, ROWS.format(50) + "SELECT sum(forge(i, 0, 0, 0)) FROM n") == 50 * 51 // 2
    )


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one processor no row is streamed"
)
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (struct.pack("<IIQ", TYPE_INT64, 0, 5), "not of the declared type"),
        (struct.pack("<IIQ", TYPE_TEXT, 4, 16) + b"abc", "bytes outside of the reply"),
        (struct.pack("<IIQ", TYPE_TEXT, 4, 1 << 63) + b"abcd", "bytes outside of the reply"),
        (struct.pack("<IIQ", TYPE_TEXT, 2, 16) + b"\xc3\x28", "not valid UTF-8"),
        (struct.pack("<IIQ", TYPE_TEXT, 4, MAX_SHORT) + b"abcd" * 54, "bytes outside of the reply"),
        (b"", "too short"),
    ],
)
def test_a_forged_short_reply_is_refused(connection: Any, reply: bytes, expected: str) -> None:
    sql = ROWS.format(200) + "SELECT max(forge_short(i, ?, ?)) FROM n"
    with pytest.raises(apsw.SQLError, match=expected):
        total(connection, sql, 100 - ROWS_BEFORE_STREAMING, reply)
    assert total(connection, ROWS.format(50) + "SELECT max(forge_short(i, 0, x'')) FROM n") == "9"


@pytest.mark.parametrize("length", [20, 60, MAX_SHORT - 80, MAX_SHORT, 2000])
def test_a_shorter_request_finds_nothing_of_the_one_before(connection: Any, length: int) -> None:
    marker = "secret of a row"
    texts = ["x" * length + marker, "short"] * 20
    connection.execute("CREATE TABLE texts (t)")
    connection.cursor().executemany("INSERT INTO texts VALUES (?)", [(text,) for text in texts])
    sql = "SELECT sum(left_behind(t, ?)) FROM texts"
    for _ in range(2):
        assert total(connection, sql, marker[::-1]) == 0
    # The next statement, whose calls find the page as the end of the stream left it.
    connection.execute("UPDATE texts SET t = ?", ("x" * length + marker,))
    assert total(connection, sql, marker[::-1]) == 0
    assert total(connection, "SELECT left_behind('short', ?)", marker[::-1]) == 0


def test_a_slow_reader_puts_the_guest_to_sleep(connection: Any) -> None:
    cursor = connection.execute(ROWS.format(40) + "SELECT count(i) FROM n")
    seen = []
    for row in cursor:
        seen.append(row[0])
        if len(seen) % 10 == 0:
            time.sleep(0.01)
    assert seen == list(range(1, 41))


def test_statements_of_one_connection_take_turns(connection: Any) -> None:
    cursors = [
        connection.cursor().execute(ROWS.format(60) + "SELECT count(i) FROM n") for _ in range(3)
    ]
    for expected in range(1, 61):
        assert [next(cursor)[0] for cursor in cursors] == [expected] * 3


def test_connections_of_several_threads() -> None:
    results: list[int] = []

    def work() -> None:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, count)
        for _ in range(3):
            results.append(total(connection, ROWS.format(2000) + "SELECT max(count(i)) FROM n"))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2000] * 12


def test_a_statement_left_in_the_middle(connection: Any) -> None:
    for _ in range(20):
        cursor = connection.execute(ROWS.format(1000) + "SELECT count(i) FROM n")
        assert [next(cursor)[0] for _ in range(15)] == list(range(1, 16))
        cursor.close()
    assert total(connection, ROWS.format(20) + "SELECT max(count(i)) FROM n") == 20


def test_replies_of_all_sizes(connection: Any) -> None:
    sizes = [0, 1, 7, 4096, 100_000, 3, 5_000_000, 2] * 3
    found = []
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE sizes (n)")
    cursor.executemany("INSERT INTO sizes VALUES (?)", [(size,) for size in sizes])
    for (text,) in connection.execute("SELECT repeated('ä', n) FROM sizes"):
        assert set(text) <= {"ä"}
        found.append(len(text))
    assert found == sizes


SCRIPT = """
    import os, signal, sys, apsw, udfvm, udfvm.sqlite
    sys.path.append({tests!r})
    {prepare}
    @udfvm.udf
    def same(i: int) -> int:
        return i

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, same)
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    {body}
"""


def script(prepare: str, body: str, rows: int) -> str:
    source = textwrap.dedent(SCRIPT).format(
        prepare=prepare, body=textwrap.dedent(body), rows=rows, tests=TESTS
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_processor() -> None:
    body = "print(next(connection.execute(rows + 'SELECT sum(same(i)) FROM n'))[0])"
    assert script(
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", body, 300
    ).strip() == str(300 * 301 // 2)


def test_control_c_ends_a_statement_of_many_fast_rows() -> None:
    body = textwrap.dedent("""
        connection.execute("SELECT same(1)").fetchall()
        try:
            when_busy(lambda: os.kill(os.getpid(), signal.SIGINT))
            connection.execute(rows + "SELECT sum(same(i)) FROM n").fetchall()
        except KeyboardInterrupt:
            print("interrupted")
        print(next(connection.execute("SELECT same(7)"))[0])
    """)
    assert script("from busy_processes import when_busy", body, 10**12).split() == [
        "interrupted",
        "7",
    ]


def test_a_fork_in_the_middle_of_a_statement() -> None:
    body = textwrap.dedent("""
        cursor = connection.execute(rows + "SELECT same(i) FROM n")
        first = [next(cursor)[0] for _ in range(20)]
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(first == list(range(1, 21)), len(list(cursor)))
    """)
    assert script("", body, 100).split() == ["True", "80"]
