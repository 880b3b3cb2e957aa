"""SQL functions: types, calls and their isolation, errors, limits, safety."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import apsw
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) "


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf
def same_int(value: int) -> int:
    return value


@udfvm.udf
def same_float(value: float) -> float:
    return value


@udfvm.udf
def not_a_number() -> float:
    return math.nan


@udfvm.udf
def same_bool(value: bool) -> bool:
    return value


@udfvm.udf
def same_text(value: str) -> str:
    return value


@udfvm.udf
def same_blob(value: bytes) -> bytes:
    return value


@udfvm.udf
def type_of(value: str | None) -> str:
    return type(value).__name__


@udfvm.udf
def constant() -> int:
    return 42


_state = {"calls": 0}


@udfvm.udf
def counter(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf(isolation="row")
def counter_row(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf
def other_counter(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf
def picky(value: int) -> int:
    if value >= 3:
        raise ValueError(f"{value} is too much")
    return value


@udfvm.udf(timeout=0.3)
def endless(_: int) -> int:
    while True:
        pass


@udfvm.udf
def crash(_: int) -> int:
    return ctypes.string_at(1)[0]


@udfvm.udf
def raw_reply(reply: bytes, status: int) -> str:
    """Completes the call by itself, with whatever bytes it likes: what a hostile program can do."""
    ctypes.memmove(0x50_0000_0000, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(0x200040)(status, len(reply))
    return "after the call"


UDFS = (
    score, same_int, same_float, not_a_number, same_bool, same_text, same_blob, type_of, constant,
    counter, counter_row, other_counter, picky, endless, crash, raw_reply,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *UDFS)
    yield connection
    connection.close()


@pytest.fixture
def query(shared: apsw.Connection) -> Callable[..., list[tuple[Any, ...]]]:
    def run(sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        return shared.execute(sql, bindings).fetchall()

    return run


Query = Callable[..., list[tuple[Any, ...]]]


def error_of(query: Query, sql: str, *bindings: object) -> str:
    with pytest.raises(apsw.SQLError) as caught:
        query(sql, *bindings)
    assert query("SELECT same_int(7)") == [(7,)], "the connection stays usable"
    return str(caught.value)


# ---- Types ----


@pytest.mark.parametrize(
    ("function", "value"),
    [
        *(("same_int", value) for value in (0, 1, -1, 2**63 - 1, -(2**63))),
        *(("same_float", value) for value in (0.0, 0.1, -1e308, 5e-324, math.inf, -math.inf)),
        *(("same_bool", value) for value in (0, 1)),
        *(("same_text", value) for value in ("", "a", "a\0b", "naïve 🐍", "x" * 1_000_000)),
        *(("same_blob", value) for value in (b"", b"\0", bytes(range(256)), b"\0\xff" * 500_000)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_go_both_ways(query: Query, function: str, value: Any) -> None:
    [(result, through_name)] = query(f"SELECT {function}(?1), vm_udf('{function}', ?1)", value)
    assert result == value and type(result) is type(value)
    assert through_name == value


def test_integer_is_taken_as_float(query: Query) -> None:
    assert query("SELECT same_float(3), typeof(same_float(3))") == [(3.0, "real")]


def test_nan_becomes_null(query: Query) -> None:
    assert query("SELECT not_a_number(), same_float(9e999)") == [(None, math.inf)]


def test_negative_zero(query: Query) -> None:
    [(value,)] = query("SELECT same_float(?)", -0.0)
    assert math.copysign(1, value) == -1


def test_null_makes_the_result_null_without_a_call(query: Query) -> None:
    assert query("SELECT counter(NULL), counter(1), counter(NULL), counter(1)") == [
        (None, 1, None, 2)
    ]


def test_null_reaches_a_parameter_that_allows_none(query: Query) -> None:
    assert query("SELECT type_of(NULL), type_of('x')") == [("NoneType", "str")]


def test_none_becomes_null(query: Query) -> None:
    assert query("SELECT score(1, 0), vm_udf('score', 1, 0)") == [(None, None)]


def test_no_arguments(query: Query) -> None:
    assert query("SELECT constant(), vm_udf('constant')") == [(42, 42)]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("same_int('1')", "UDF 'same_int', row 0: argument 1 (value): expected INTEGER, got TEXT"),
        ("same_int(1.5)", "UDF 'same_int', row 0: argument 1 (value): expected INTEGER, got REAL"),
        (
            "same_float('1')",
            "UDF 'same_float', row 0: argument 1 (value): expected REAL or INTEGER, got TEXT",
        ),
        (
            "score(1, x'00')",
            "UDF 'score', row 0: argument 2 (distance): expected REAL or INTEGER, got BLOB",
        ),
        ("same_text(1)", "UDF 'same_text', row 0: argument 1 (value): expected TEXT, got INTEGER"),
        ("same_text(x'61')", "UDF 'same_text', row 0: argument 1 (value): expected TEXT, got BLOB"),
        ("same_blob('a')", "UDF 'same_blob', row 0: argument 1 (value): expected BLOB, got TEXT"),
        (
            "same_bool(2)",
            (
                "UDF 'same_bool', row 0: argument 1 (value): expected INTEGER 0 or 1 (a bool), got"
                " INTEGER 2"
            ),
        ),
        (
            "same_bool('1')",
            (
                "UDF 'same_bool', row 0: argument 1 (value): expected INTEGER 0 or 1 (a bool), got"
                " TEXT"
            ),
        ),
        (
            "same_text(CAST(x'ff' AS TEXT))",
            "UDF 'same_text', row 0: argument 1 (value): TEXT that is not valid UTF-8",
        ),
        ("vm_udf('same_int')", "UDF 'same_int': takes 1 argument (value), got 0"),
        ("vm_udf('score', 1)", "UDF 'score': takes 2 arguments (dep_delay, distance), got 1"),
        (
            "vm_udf('nobody', 1)",
            (
                "vm_udf: no UDF named 'nobody' is registered on this connection (registered: score,"
                " same_int"
            ),
        ),
        ("vm_udf()", "vm_udf: the first argument must be the name of a UDF"),
        ("vm_udf(NULL)", "vm_udf: the first argument must be the name of a UDF"),
    ],
)
def test_wrong_arguments_are_errors(query: Query, call: str, expected: str) -> None:
    assert error_of(query, f"SELECT {call}").startswith(expected)


def test_wrong_count_under_its_own_name(query: Query) -> None:
    assert "wrong number of arguments" in error_of(query, "SELECT score(1)")


def test_too_large_an_argument(query: Query) -> None:
    assert "does not fit into the input window" in error_of(
        query, "SELECT length(same_blob(zeroblob(900000000)))"
    )


def test_registering_a_type_that_sql_has_not() -> None:
    @udfvm.udf(input_types=["uint64"])
    def unsigned(value: int) -> int:
        return value

    connection = apsw.Connection(":memory:")
    with pytest.raises(udfvm.TypeMappingError, match=r"unsigned.*'value'.*uint64"):
        udfvm.sqlite.register(connection, unsigned)
    connection.close()


# ---- Calls ----


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
    with pytest.raises(apsw.SQLError, match=r"no micro-VM became free.*limit"):
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


# ---- JSON ----


class Split(TypedDict):
    first: str
    rest: list[str]


@udfvm.udf
def split(text: str) -> Split | None:
    words = text.split()
    return {"first": words[0], "rest": words[1:]} if words else None


@udfvm.udf
def letters(text: str) -> list[str]:
    return list(text)


@udfvm.udf
def not_json(way: int) -> dict[str, float]:
    return {"x": float("nan")} if way == 1 else [1].append  # type: ignore[return-value]


@udfvm.aggregate
class tally:  # noqa: N801 - named as in SQL
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def step(self, word: str) -> None:
        self.counts[word] = self.counts.get(word, 0) + 1

    def finish(self) -> dict[str, int]:
        return self.counts


def test_dictionaries_and_lists_are_json() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, split, letters, tally, not_json)
    rows = "(SELECT 'é' AS a UNION ALL SELECT 'b' UNION ALL SELECT 'é')"
    for sql, expected in {
        "SELECT split('a b'), split('')": ('{"first":"a","rest":["b"]}', None),
        "SELECT split('a b') ->> 'first', json_array_length(letters('xyz'))": ("a", 3),
        "SELECT json_array(split('a'), vm_udf('letters', 'é'), split(''))": (
            '[{"first":"a","rest":[]},["é"],null]',
        ),
        "SELECT json_array(value), value ->> 'first' FROM vm_map('split', 'SELECT 1, ''a''')": (
            '[{"first":"a","rest":[]}]',
            "a",
        ),
        f"SELECT json_array(tally(a)), vm_agg('tally', a) ->> 'é' FROM {rows}": (
            '[{"é":2,"b":1}]',
            2,
        ),
        "SELECT signature FROM vm_functions WHERE name = 'split'": ("(text text) -> json",),
    }.items():
        assert connection.execute(sql).fetchall() == [expected]
    for way, message in ((1, "not JSON compliant"), (2, "not JSON serializable")):
        with pytest.raises(apsw.SQLError, match=f"UDF 'not_json', row 0: .*{message}"):
            connection.execute("SELECT not_json(?)", (way,)).fetchall()
    assert split("a b") == {"first": "a", "rest": ["b"]}
    assert tally(pa.array(["b"])) == {"b": 1}
    connection.close()


# ---- Errors and limits ----


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


def reply(type_: int, length: int, value: int, rest: bytes = b"") -> bytes:
    return (
        type_.to_bytes(4, "little")
        + length.to_bytes(4, "little")
        + value.to_bytes(8, "little")
        + rest
    )


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
    timer = threading.Timer(0.3, shared.interrupt)
    timer.start()
    with pytest.raises(apsw.InterruptError):
        query(endless_rows)
    timer.join()
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
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted [(2,)]\n"
    assert process.returncode == 0


# ---- Registration ----


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
    with pytest.raises(apsw.Error, match="cannot be redefined while statements"):
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

    with pytest.raises(apsw.Error, match="reserved"):
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
    if hasattr(connection, "load_extension"):
        udfvm.sqlite.register(connection, score, counter)
        sql = NUMBERS + "SELECT score(i, 1), vm_udf('counter', i) FROM n"
        assert connection.execute(sql).fetchall() == [(i * 100.0, i) for i in range(1, 6)]
    else:
        with pytest.raises(udfvm.Error, match=r"extensions.*apsw"):
            udfvm.sqlite.register(connection, score)
    connection.close()


# ---- Safety ----


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


# ---- Real data ----


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
