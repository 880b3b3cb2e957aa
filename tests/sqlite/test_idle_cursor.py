"""A guest does not run on where nobody steps its statement, and keeps its deadlines where the
caller does not look.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import apsw
import pytest
from busy_processes import handling_when_busy
from guest_addresses import GUEST_ADDRESSES

import udfvm
import udfvm.sqlite

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT "
MAX_WAIT = 60.0  # seconds that an event may take to come
# From the twelfth row on it answers every request, and goes on answering.
BUSY_ANSWERS = """
#include <udfvm.h>

UDFVM_SCALAR(burn, i64, (i64, i))
{
    if (i >= 12) {
        volatile unsigned long *reply = (void *)UDFVM_STREAM_REPLY;
        volatile unsigned long *request = (void *)(UDFVM_SHORT_PAYLOAD - 24);
        volatile unsigned *value = (void *)(reply + 3);
        for (;;) {
            value[0] = 1;
            ((volatile unsigned long *)value)[1] = 777;
            reply[1] = 16;
            reply[2] = UDFVM_STATUS_OK;
            reply[0] = *request;
        }
    }
    return i;
}
"""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def comes_to_rest() -> bool:
    """Whether the process stops using its processors while this thread sleeps."""
    end = time.monotonic() + MAX_WAIT
    while time.monotonic() < end:
        before = cpu_seconds()
        time.sleep(0.5)
        if cpu_seconds() - before < 0.1:
            return True
    return False


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    opened = apsw.Connection(":memory:")
    yield opened
    opened.close(True)


def test_a_guest_that_answers_for_ever(connection: apsw.Connection) -> None:
    burn = udfvm.from_c(GUEST_ADDRESSES + BUSY_ANSWERS, "burn", timeout=0.5)
    udfvm.sqlite.register(connection, burn)
    cursor = connection.execute(NUMBERS + "burn(i) FROM n")
    assert [next(cursor)[0] for _ in range(20)][-1] == 777
    assert comes_to_rest()
    assert next(cursor) == (777,)  # it is let in again where it is asked
    assert comes_to_rest()
    cursor.close()
    assert connection.execute("SELECT burn(1)").fetchall() == [(1,)]


def test_the_statement_ends_meanwhile(connection: apsw.Connection) -> None:
    seconds = 5.0  # enough for the first rows where the processors are busy
    burn = udfvm.from_c(GUEST_ADDRESSES + BUSY_ANSWERS, "burn", timeout=seconds)
    udfvm.sqlite.register(
        connection, burn, policy=udfvm.sqlite.Policy(languages=[], statement_timeout=seconds)
    )
    cursor = connection.execute(NUMBERS + "burn(i) FROM n")
    for _ in range(20):
        next(cursor)
    end = time.monotonic() + seconds
    assert comes_to_rest()
    time.sleep(max(0.0, end - time.monotonic()))
    with pytest.raises(apsw.SQLError, match="the statement did not end within"):
        next(cursor)


@pytest.mark.parametrize("spin", [0.0001, 0.3])
def test_a_guest_that_waits(connection: apsw.Connection, spin: float) -> None:
    @udfvm.udf
    def plus(x: int) -> int:
        return x + 1

    udfvm.sqlite.register(
        connection, plus, policy=udfvm.sqlite.Policy(languages=[], idle_spin=spin)
    )
    cursor = connection.execute(NUMBERS + "plus(i) FROM n")
    taken = [next(cursor)[0] for _ in range(20)]
    assert comes_to_rest()
    taken.extend(row[0] for row in cursor)
    assert taken == list(range(2, 1002))


@pytest.mark.parametrize("limit", ["timeout", "statement_timeout"])
def test_deadlines_of_a_caller_that_does_not_look(connection: apsw.Connection, limit: str) -> None:
    """A signal handler keeps the caller's thread from looking, for as long as the guest runs."""
    seconds = 1.5

    @udfvm.udf(timeout=seconds if limit == "timeout" else None)
    def endless(x: int) -> int:
        while x >= 15:
            pass
        return x

    policy = udfvm.sqlite.Policy(
        languages=[], statement_timeout=seconds if limit == "statement_timeout" else None
    )
    udfvm.sqlite.register(connection, endless, policy=policy)
    rested: list[bool] = []
    endless.prepare()
    with (
        handling_when_busy(lambda: rested.append(comes_to_rest())),
        pytest.raises(apsw.SQLError, match="did not end within"),
    ):
        connection.execute(NUMBERS + "endless(i) FROM n").fetchall()
    assert rested == [True]
