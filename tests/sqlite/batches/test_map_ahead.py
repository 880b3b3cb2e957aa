"""``vm_map`` gathers the next rows of its query while the function runs on those before."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest
from batch_functions import NUMBERS, Query

import udfvm
import udfvm.sqlite

ROWS = 60_000
SOURCE = NUMBERS.format(ROWS) + "SELECT i, i FROM n"
# The first batch beside which the next is gathered has the rows from 1281 to 5376.
EARLY, LATE = 2000, 30_000
TIMEOUT = 1.5
_seen: list[int] = []


@udfvm.udf
def doubled(i: int) -> int:
    return 2 * i


@udfvm.udf
def counted(i: int) -> int:
    _seen.append(i)
    return len(_seen)


@udfvm.udf
def spelled(i: int) -> str | None:
    return None if i % 3 == 0 else f"{i} ä" * (i % 50)


@udfvm.udf(timeout=TIMEOUT)
def ends_at(i: int, at: int, how: str) -> int:
    if i == at:
        if how == "loop":
            while True:
                pass
        if how == "raise":
            raise ValueError(f"row of {i}")
        os._exit(3)
    return i


# Where the end of the deadline is what is looked for, it may come soon.
ends_soon = ends_at.with_options(name="ends_soon", timeout=0.3)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, doubled, counted, spelled, ends_at, ends_soon)
    yield connection
    connection.close()


@pytest.fixture
def local(connection: apsw.Connection) -> Callable[[Callable[[int], int]], None]:
    """Registers a function of the process, ``seen``, that queries call for each row."""
    return lambda function: connection.create_scalar_function("seen", function, 1)


def test_rows_keys_and_state_are_in_order(connection: apsw.Connection) -> None:
    query = Query(connection)
    for _ in range(2):
        assert query(f"SELECT key, value FROM vm_map('doubled', '{SOURCE}')") == [
            (i, 2 * i) for i in range(1, ROWS + 1)
        ]
        assert query(f"SELECT key, value FROM vm_map('counted', '{SOURCE}')") == [
            (i, i) for i in range(1, ROWS + 1)
        ]
    texts = NUMBERS.format(ROWS) + "SELECT ''key '' || i, i FROM n"
    assert query(f"SELECT key, value FROM vm_map('spelled', '{texts}')") == [
        (f"key {i}", None if i % 3 == 0 else f"{i} ä" * (i % 50)) for i in range(1, ROWS + 1)
    ]


@pytest.mark.parametrize("rows", [5375, 5376, 5377, 21_760, 21_761])
def test_the_last_batch_may_have_any_length(connection: apsw.Connection, rows: int) -> None:
    source = NUMBERS.format(rows) + "SELECT i, i FROM n"
    [found] = Query(connection)(f"SELECT count(*), sum(value) FROM vm_map('doubled', '{source}')")
    assert found == (rows, rows * (rows + 1))


@pytest.mark.parametrize("at", [EARLY, LATE, ROWS])
@pytest.mark.parametrize(
    ("how", "expected"),
    [("raise", "ValueError: row of {}"), ("loop", "did not end within"), ("exit", "exit status 3")],
)
def test_what_goes_wrong_in_the_function(
    connection: apsw.Connection, at: int, how: str, expected: str
) -> None:
    query = Query(connection)
    source = NUMBERS.format(ROWS) + f"SELECT i, i, {at}, ''{how}'' FROM n"
    name = "ends_soon" if how == "loop" else "ends_at"
    for _ in range(2):
        message = query.error(f"SELECT sum(value) FROM vm_map('{name}', '{source}')")
        assert expected.format(at) in message
        assert how != "raise" or f"row {at - 1}:" in message
    while True:
        try:
            found = query(f"SELECT value FROM vm_map('{name}', 'SELECT 1, 1, 2, ''''')")
        except apsw.SQLError as error:  # the machine is busy
            assert how == "loop" and expected in str(error)
        else:
            break
    assert found == [(1,)]


@pytest.mark.parametrize("at", [EARLY, LATE, ROWS])
def test_what_goes_wrong_in_the_query(
    connection: apsw.Connection, at: int, local: Callable[[Callable[[int], int]], None]
) -> None:
    query = Query(connection)
    source = NUMBERS.format(ROWS) + f"SELECT i, CASE i WHEN {at} THEN ''x'' ELSE i END FROM n"
    message = query.error(f"SELECT sum(value) FROM vm_map('doubled', '{source}')")
    assert message.startswith(
        f"UDF 'doubled', row {at - 1}: argument 'i' (position 1) takes INTEGER"
    )

    def seen(i: int) -> int:
        if i == at:
            raise ZeroDivisionError(f"at {i}")
        return i

    local(seen)
    source = NUMBERS.format(ROWS) + "SELECT i, seen(i) FROM n"
    with pytest.raises(ZeroDivisionError, match=f"at {at}"):
        query(f"SELECT sum(value) FROM vm_map('doubled', '{source}')")
    assert query("SELECT value FROM vm_map('doubled', 'SELECT 1, 1')") == [(2,)]


def test_what_is_not_read_is_not_gathered(
    connection: apsw.Connection, local: Callable[[Callable[[int], int]], None]
) -> None:
    rows: list[int] = []
    local(lambda i: rows.append(i) or i)
    source = NUMBERS.format(ROWS) + "SELECT i, seen(i) FROM n"
    assert Query(connection)(f"SELECT value FROM vm_map('doubled', '{source}') LIMIT 1") == [(2,)]
    assert len(rows) < EARLY


def test_a_statement_left_in_the_middle(connection: apsw.Connection) -> None:
    for read in (EARLY, LATE):
        cursor = connection.cursor().execute(f"SELECT value FROM vm_map('counted', '{SOURCE}')")
        assert [next(cursor)[0] for _ in range(read)] == list(range(1, read + 1))
        cursor.close()
    assert Query(connection)(f"SELECT max(value) FROM vm_map('counted', '{SOURCE}')") == [(ROWS,)]


@pytest.mark.parametrize("at", [0, LATE])
def test_a_query_that_begins_again_before_its_end(connection: apsw.Connection, at: int) -> None:
    """What the function did for rows that nobody read is no failure."""
    source = NUMBERS.format(ROWS) + f"SELECT i, i, {at}, ''raise'' FROM n WHERE i > ?"
    assert Query(connection)(
        f"SELECT (SELECT value FROM vm_map('ends_at', '{source}', x) LIMIT 1 OFFSET 6000) FROM"
        " (SELECT 0 AS x UNION ALL SELECT 10 UNION ALL SELECT 20)"
    ) == [(6001,), (6011,), (6021,)]


def test_a_slow_query_is_no_timeout_of_the_function(
    connection: apsw.Connection, local: Callable[[Callable[[int], int]], None]
) -> None:
    """The function has answered long before its reply is read."""

    def seen(i: int) -> int:
        if i == LATE:
            time.sleep(TIMEOUT + 0.5)
        return i

    local(seen)
    source = NUMBERS.format(ROWS) + "SELECT i, seen(i), 0, ''none'' FROM n"
    assert Query(connection)(f"SELECT count(*) FROM vm_map('ends_at', '{source}')") == [(ROWS,)]


def test_functions_in_the_query_and_around_it(connection: apsw.Connection) -> None:
    rows = 20_000
    source = NUMBERS.format(rows) + "SELECT i, doubled(i) FROM n"
    assert Query(connection)(f"SELECT sum(doubled(value)) FROM vm_map('doubled', '{source}')") == [
        (8 * rows * (rows + 1) // 2,)
    ]
    inner = SOURCE.replace("'", "''")
    assert Query(connection)(
        "SELECT sum(value) FROM vm_map('doubled', 'SELECT key, value FROM vm_map(''doubled'', "
        f"''{inner}'')')"
    ) == [(4 * ROWS * (ROWS + 1) // 2,)]


def test_an_interrupt_while_both_work(
    connection: apsw.Connection, local: Callable[[Callable[[int], int]], None]
) -> None:
    def seen(i: int) -> int:
        if i == LATE:
            connection.interrupt()
        return i

    local(seen)
    source = NUMBERS.format(ROWS) + "SELECT i, seen(i) FROM n"
    with pytest.raises(apsw.InterruptError):
        Query(connection)(f"SELECT sum(value) FROM vm_map('doubled', '{source}')")
    assert Query(connection)("SELECT value FROM vm_map('doubled', 'SELECT 1, 1')") == [(2,)]


def test_connections_of_several_threads() -> None:
    results: list[Any] = []

    def work() -> None:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, counted)
        for _ in range(2):
            results.extend(
                Query(connection)(f"SELECT max(value) FROM vm_map('counted', '{SOURCE}')")
            )
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(ROWS,)] * 8


def test_a_fork_in_the_middle() -> None:
    script = textwrap.dedent(f"""
        import os, apsw, udfvm, udfvm.sqlite

        @udfvm.udf
        def doubled(i: int) -> int:
            return 2 * i

        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, doubled)
        cursor = connection.execute("SELECT value FROM vm_map('doubled', '{SOURCE}')")
        first = [next(cursor)[0] for _ in range({EARLY})]
        child = os.fork()
        if child == 0:
            try:
                list(cursor)
            except apsw.SQLError as error:
                os._exit(7 if "parent process" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(first == [2 * i for i in range(1, {EARLY} + 1)], len(list(cursor)))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["True", str(ROWS - EARLY)], done.stderr
