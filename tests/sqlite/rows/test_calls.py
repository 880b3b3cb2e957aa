"""What a call is: an execution of a statement, or a row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest
from row_functions import NUMBERS, Query, counter, score

import udfvm
import udfvm.sqlite


def test_a_statement_is_one_call(query: Query) -> None:
    for _ in range(3):
        assert query(NUMBERS + "SELECT counter(i) FROM n") == [(1,), (2,), (3,), (4,), (5,)]


def test_a_row_is_one_call(query: Query) -> None:
    assert query(NUMBERS + "SELECT counter_row(i), vm_udf('counter_row', i) FROM n") == [(1, 1)] * 5


def test_uses_of_one_udf_in_a_statement_share_its_call(query: Query) -> None:
    assert query(
        "SELECT counter(1), vm_udf('counter', 1), vm_udf('COUNTER', 1), other_counter(1)"
    ) == [(1, 2, 3, 1)]


def test_names_may_come_from_the_rows(query: Query) -> None:
    sql = NUMBERS + "SELECT vm_udf(iif(i % 2, 'counter', 'other_counter'), i) FROM n"
    assert query(sql) == [(1,), (1,), (2,), (2,), (3,)]


def test_statements_interleave(shared: apsw.Connection) -> None:
    sql = NUMBERS + "SELECT counter(i) FROM n"
    first, second = shared.execute(sql), shared.execute(sql + " ")
    assert [next(first), next(first), next(second), next(first), next(second)] == [
        (1,),
        (2,),
        (1,),
        (3,),
        (2,),
    ]
    first.close()
    second.close()


def test_a_statement_left_early_gives_its_state_up(shared: apsw.Connection, query: Query) -> None:
    sql = NUMBERS + "SELECT counter(i) FROM n"
    for _ in range(50):  # more than a pool has: none may stay taken
        cursor = shared.execute(sql)
        assert next(cursor) == (1,)
        cursor.close()


def test_an_error_gives_the_state_up(query: Query) -> None:
    for _ in range(50):
        with pytest.raises(apsw.SQLError):
            query(NUMBERS + "SELECT counter(i), picky(i) FROM n")
    assert query("SELECT counter(1)") == [(1,)]


def test_subqueries_groups_and_order(query: Query) -> None:
    assert query(NUMBERS + "SELECT i % 2, sum(counter_row(i)), count(*) FROM n GROUP BY 1") == [
        (0, 2, 2),
        (1, 3, 3),
    ]
    assert query(NUMBERS + "SELECT i FROM n ORDER BY -same_int(i) LIMIT 2") == [(5,), (4,)]
    assert query(
        NUMBERS + "SELECT (SELECT max(same_int(m.i)) FROM n AS m WHERE m.i <= n.i) FROM n"
    ) == [(1,), (2,), (3,), (4,), (5,)]


def test_more_statements_than_micro_vms(shared: apsw.Connection, query: Query) -> None:
    sql = NUMBERS + "SELECT counter(i) FROM n"
    cursors = []
    with pytest.raises(apsw.SQLError, match=r"VMs? of the pool (is|are) busy; running statements"):
        for extra in range(10_000):
            cursors.append(shared.execute(sql + " " * extra))
            next(cursors[-1])
    for cursor in cursors:
        cursor.close()
    assert query(sql)[-1] == (5,)


def test_connections_in_threads() -> None:
    def work() -> None:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, counter)
        for _ in range(20):
            rows = connection.execute(
                NUMBERS + "SELECT counter(i), vm_udf('counter', i) FROM n"
            ).fetchall()
            assert rows == [(2 * i - 1, 2 * i) for i in range(1, 6)]
        connection.close()

    with ThreadPoolExecutor(8) as threads:
        for result in [threads.submit(work) for _ in range(8)]:
            result.result()


def test_flights(flights_db: Path) -> None:
    connection = apsw.Connection(str(flights_db), flags=apsw.SQLITE_OPEN_READONLY)
    udfvm.sqlite.register(connection, score)
    where = "FROM flights WHERE month = 1 AND day <= 5 GROUP BY carrier ORDER BY carrier"
    in_guest = connection.execute(
        f"SELECT carrier, avg(vm_udf('score', dep_delay, distance)) {where}"
    ).fetchall()
    in_sql = connection.execute(
        f"SELECT carrier, avg(CAST(dep_delay AS REAL) / distance * 100) {where}"
    ).fetchall()
    assert in_guest == in_sql and len(in_guest) > 10
    connection.close()
