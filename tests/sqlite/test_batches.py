"""vm_map, vm_table and vm_agg: batches, rows made by functions, groups and windows, in SQL; table
functions and aggregates in Python.
"""

from __future__ import annotations

import ctypes
import datetime
import itertools
import pickle
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite
from udfvm.sqlite import _extension, sealed

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


@udfvm.udf
def ratio(a: float, b: float) -> float | None:
    return None if b == 0 else a / b


@udfvm.udf(vectorized=True)
def ratio_of_arrays(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return a / b


@udfvm.udf
def describe(
    i: int | None, f: float | None, t: str | None, b: bytes | None, flag: bool | None
) -> str:
    return repr((i, f, t, b, flag))


@udfvm.udf
def echo_text(text: str) -> str:
    return text


@udfvm.udf
def echo_blob(blob: bytes | None) -> bytes | None:
    return blob


@udfvm.udf(input_types=["int16", "float"], output_type="int8")
def narrow(a: int, b: float):  # type: ignore[no-untyped-def]
    return a + int(b)


@udfvm.udf
def weekday(day: datetime.date) -> int:
    return day.isoweekday()


@udfvm.udf(vectorized=True, input_types=["string", "date32"], output_type="string")
def label(text: pa.StringArray, day: pa.Date32Array) -> pa.Array:
    return pa.array([f"{a} {b}" for a, b in zip(text.to_pylist(), day.to_pylist(), strict=True)])[
        0:
    ]


@udfvm.udf
def no_sevens(i: int) -> int:
    if i % 1000 == 777:
        raise ValueError(f"{i} has sevens")
    return i


@udfvm.udf(timeout=0.5)
def stuck(i: int) -> int:
    while i > 2:
        pass
    return i


_seen = {"rows": 0}


@udfvm.udf
def count_rows(_: int) -> int:
    _seen["rows"] += 1
    return _seen["rows"]


@udfvm.table_function(columns={"word": str, "at": int})
def words(text: str) -> Iterator[tuple[str, int]]:
    position = 0
    for word in text.split():
        position = text.index(word, position)
        yield word, position


class Point(NamedTuple):
    n: int
    half: float | None


@udfvm.table_function
def points(n: int) -> Iterator[Point]:
    for i in range(n):
        yield Point(i, i / 2 if i % 3 else None)


@udfvm.table_function(columns={"x": "double", "s": str})
def batches(n: int) -> Iterator[pa.Table]:
    for i in range(n):
        yield pa.table({"s": [f"{i}:{k}" for k in range(1000)], "x": np.arange(1000.0) + i})


@udfvm.table_function(columns={"value": int})
def odd_rows(kind: str) -> Any:
    match kind:
        case "mappings":
            return [{"value": 1}, {}]
        case "values":
            return [1, None]
        case "wide":
            return [(1, 2)]
        case "unknown":
            return [{"other": 1}]
        case "wrong":
            return [1, "two"]
        case "none":
            return None
        case "number":
            return 7
        case "raises":
            return (1 // (3 - i) for i in range(5))
    return []


@udfvm.table_function(columns={"size": int, "data": bytes})
def large(count: int) -> Iterator[tuple[int, bytes]]:
    for i in range(count):
        yield i, bytes([i % 256]) * (3 << 20)


@udfvm.aggregate
class gini:  # noqa: N801 - named as in SQL
    """Inequality of values: 0 where all are the same."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def merge(self, other: gini) -> None:
        self.values += other.values

    def finish(self) -> float | None:
        ordered = sorted(self.values)
        count, total = len(ordered), sum(ordered)
        return (
            sum((2 * i - count + 1) * value for i, value in enumerate(ordered)) / (count * total)
            if total
            else None
        )


@udfvm.aggregate
class middle:  # noqa: N801
    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def inverse(self, value: float) -> None:
        assert self.values.pop(0) == value

    def finish(self) -> float | None:
        return sorted(self.values)[len(self.values) // 2] if self.values else None


@udfvm.aggregate(vectorized=True)
class total:  # noqa: N801
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, value: npt.NDArray[np.float64]) -> None:
        self.sum += float(value.sum())

    def inverse(self, value: npt.NDArray[np.float64]) -> None:
        self.sum -= float(value.sum())

    def finish(self) -> float:
        return self.sum


@udfvm.aggregate
class joined:  # noqa: N801
    def __init__(self) -> None:
        self.parts: list[str] = []

    def step(self, text: str | None, separator: str) -> None:
        self.parts.append(separator + ("-" if text is None else text))

    def finish(self) -> str:
        return "".join(self.parts)


@udfvm.aggregate
class fails:  # noqa: N801
    def step(self, value: int) -> None:
        if value == 5:
            raise ValueError("five")

    def finish(self) -> int:
        raise LookupError("no value")


@udfvm.aggregate
class groups_alive:  # noqa: N801
    """Sees how many groups of its call there were before."""

    begun = 0

    def __init__(self) -> None:
        groups_alive.begun += 1  # type: ignore[attr-defined]

    def step(self, _: int) -> None: ...

    def finish(self) -> int:
        return groups_alive.begun  # type: ignore[attr-defined, no-any-return]


OUTPUT, COMPLETE = 0x50_0000_0000, 0x200040


@udfvm.udf
def forged(reply: bytes) -> str:
    """Completes the call by itself, with whatever bytes it likes: what a hostile program can do."""
    ctypes.memmove(OUTPUT, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(COMPLETE)(0, len(reply))
    return "after the call"


@udfvm.table_function(columns={"text": str})
def forged_table(reply: bytes) -> Iterator[str]:
    ctypes.memmove(OUTPUT, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(COMPLETE)(0, len(reply))
    yield "after the call"


UDFS = (
    ratio,
    ratio_of_arrays,
    describe,
    echo_text,
    echo_blob,
    narrow,
    weekday,
    label,
    no_sevens,
    stuck,
    count_rows,
    words,
    points,
    batches,
    odd_rows,
    large,
    gini,
    middle,
    total,
    joined,
    fails,
    groups_alive,
    forged,
    forged_table,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *UDFS)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(1, 6.0, 2.0), (2, 1, 0), (3, None, 1.0), (4, 9, 3)]
    )
    yield connection
    connection.close()


class Query:
    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def __call__(self, sql: str, *bindings: Any) -> list[Any]:
        return self.connection.execute(sql, bindings).fetchall()

    def error(self, sql: str, *bindings: Any) -> str:
        with pytest.raises(apsw.Error) as caught:
            self(sql, *bindings)
        return str(caught.value)


@pytest.fixture
def query(shared: apsw.Connection) -> Query:
    return Query(shared)


# ---- vm_map ----


@pytest.mark.parametrize("name", ["ratio", "ratio_of_arrays"])
def test_map_joins_results_by_key(query: Query, name: str) -> None:
    assert query(
        "SELECT t.id, m.value FROM vm_map(?, 'SELECT id, a, b FROM t WHERE id <> ?', 2) m JOIN t ON"
        " t.id = m.key ORDER BY 1",
        name,
    ) == [(1, 3.0), (3, None), (4, 3.0)]


def test_map_equals_rows_over_many_batches(query: Query) -> None:
    source = NUMBERS.format(70_000) + "SELECT i, i * 1.5, i % 7 FROM n"
    rows = query(f"SELECT key, value FROM vm_map('ratio', '{source}')")
    assert rows == [(i, None if i % 7 == 0 else i * 1.5 / (i % 7)) for i in range(1, 70_001)]


def test_map_with_every_type_and_null(query: Query) -> None:
    values = (-(2**63), 0.5, "ä\0b", b"\0\xff", True)
    source = "SELECT 1, ?, ?, ?, ?, ? UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL"
    rows = query(f"SELECT value FROM vm_map('describe', '{source}', ?, ?, ?, ?, ?)", *values)
    assert rows == [(repr(values),), (repr((None,) * 5),)]
    assert query(
        "SELECT value FROM vm_map('echo_blob', 'SELECT 1, x'''' UNION ALL SELECT 2, NULL UNION ALL"
        " SELECT 3, x''00ff''')"
    ) == [
        (b"",),
        (None,),
        (b"\0\xff",),
    ]


def test_map_keys_may_be_anything(query: Query) -> None:
    keys = [None, 3, 1.5, "k", b"\0", ""]
    values = ", ".join(["(?, ''x'')"] * len(keys))
    assert query(
        f"SELECT key FROM vm_map('echo_text', 'VALUES {values}', ?, ?, ?, ?, ?, ?)", *keys
    ) == [(key,) for key in keys]


def test_map_narrow_types_and_dates(query: Query) -> None:
    assert query("SELECT value FROM vm_map('narrow', 'SELECT 1, 100, 20.7')") == [(120,)]
    assert "out of the range" in query.error(
        "SELECT value FROM vm_map('narrow', 'SELECT 1, 100, 28')"
    )
    assert "out of the range" in query.error(
        "SELECT value FROM vm_map('narrow', 'SELECT 1, 40000, 28')"
    )
    assert query("SELECT value FROM vm_map('weekday', 'SELECT 1, 0')") == [(4,)]
    assert query("SELECT value FROM vm_map('label', 'SELECT 1, ''x'', 1')") == [("x 1970-01-02",)]


def test_map_state_lives_for_the_statement(query: Query) -> None:
    for _ in range(2):
        source = NUMBERS.format(1000) + "SELECT i, i FROM n"
        assert query(f"SELECT max(value) FROM vm_map('count_rows', '{source}')") == [(1000,)]


def test_map_is_lazy(query: Query) -> None:
    """The first rows come before a later one fails."""
    source = NUMBERS.format(100_000) + "SELECT i, i FROM n"
    assert query(f"SELECT value FROM vm_map('no_sevens', '{source}') LIMIT 3") == [(1,), (2,), (3,)]
    message = query.error(f"SELECT sum(value) FROM vm_map('no_sevens', '{source}')")
    assert message.startswith("UDF 'no_sevens', row 776: ValueError: 777 has sevens")


def test_map_refuses(query: Query) -> None:
    cases = {
        "'nobody', 'SELECT 1, 2'": "vm_map: no UDF named 'nobody' is registered",
        "'gini', 'SELECT 1, 2'": "UDF 'gini': an aggregate, which vm_map does not run: use vm_agg",
        "'echo_text'": "vm_map: takes the name of a UDF, a query",
        "'echo_text', 5": "the second argument must be a query",
        "'echo_text', 'DELETE FROM t'": "vm_map: the query must be a SELECT",
        "'echo_text', 'DELETE FROM t RETURNING id, a'": "vm_map: the query must be a SELECT",
        "'echo_text', 'WITH x AS (SELECT 1) DELETE FROM t RETURNING id, a'": (
            "vm_map: the query must not write"
        ),
        "'echo_text', 'PRAGMA table_info(t)'": "vm_map: the query must be a SELECT",
        "'echo_text', '  '": "vm_map: the query must be a SELECT",
        "'echo_text', 'SELECT 1, ''a''; SELECT 2'": "vm_map: the query must be one statement",
        "'echo_text', 'SELECT 1'": (
            "UDF 'echo_text' takes 1 argument, so the query must have 2 columns, a key first; it"
            " has 1"
        ),
        "'echo_text', 'SELECT 1, ?'": "vm_map: the query has 1 parameter, got 0",
        "'echo_text', 'SELECT 1, ''a''', 3": "vm_map: the query has 0 parameters, got 1",
        "'echo_text', 'SELECT 1, missing'": "vm_map: in the query: no such column: missing",
        "'echo_text', 'SELECT 1, 2'": (
            "UDF 'echo_text', row 0: argument 1 (text): expected TEXT, got INTEGER"
        ),
        "'echo_text', 'SELECT 1, CAST(x''ff'' AS TEXT)'": (
            "argument 1 (text): TEXT that is not valid UTF-8"
        ),
    }
    for arguments, expected in cases.items():
        assert expected in query.error(f"SELECT * FROM vm_map({arguments})"), arguments
    assert query("SELECT count(*) FROM t") == [(4,)]
    assert query(
        "SELECT value FROM vm_map('echo_text', '/* a comment */ SELECT 1, ''a''; -- and one"
        " behind')"
    ) == [("a",)]


def test_map_timeout_leaves_the_connection_usable(query: Query) -> None:
    source = NUMBERS.format(5) + "SELECT i, i FROM n"
    assert "did not end within 0.5 s" in query.error(f"SELECT * FROM vm_map('stuck', '{source}')")
    assert query("SELECT value FROM vm_map('stuck', 'SELECT 1, 1')") == [(1,)]


def test_map_passes_the_authorizer_and_no_schema_can_use_it(query: Query) -> None:
    def authorizer(action: int, first: str | None, *_: Any) -> int:
        return apsw.SQLITE_DENY if action == apsw.SQLITE_READ and first == "t" else apsw.SQLITE_OK

    query.connection.authorizer = authorizer
    try:
        assert "prohibited" in query.error(
            "SELECT * FROM vm_map('ratio', 'SELECT id, a, b FROM t')"
        )
    finally:
        query.connection.authorizer = None
    query("CREATE VIEW v AS SELECT * FROM vm_map('echo_text', 'SELECT 1, ''a''')")
    query("CREATE VIEW w AS SELECT * FROM words('a b')")
    try:
        assert "unsafe use of virtual table" in query.error("SELECT * FROM v")
        assert "unsafe use of virtual table" in query.error("SELECT * FROM w")
    finally:
        query("DROP VIEW v")
        query("DROP VIEW w")


def test_interleaved_maps(query: Query) -> None:
    source = NUMBERS.format(5000) + "SELECT i, i FROM n"
    pairs = zip(
        query.connection.execute(f"SELECT value FROM vm_map('count_rows', '{source}')"),
        query.connection.execute(
            f"SELECT value, value FROM vm_map('count_rows', '{source} ORDER BY 1 DESC')"
        ),
        strict=True,
    )
    assert all(one == two for (one,), (two, _) in pairs)
    nested = "SELECT key, value FROM vm_map(''count_rows'', ''SELECT id, id FROM t'')"
    assert query(f"SELECT value FROM vm_map('count_rows', '{nested}')") == [(1,), (2,), (3,), (4,)]


# ---- Table functions ----


def test_table_functions(query: Query) -> None:
    expected = [("to", 0), ("be", 3), ("or", 6)]
    assert query("SELECT word, at FROM words('to be or')") == expected
    assert query("SELECT * FROM words(?)", "to be or") == expected
    assert query("SELECT * FROM vm_table('words', 'to be or')") == expected
    assert query("SELECT c1 FROM vm_table('words', 'a b') WHERE c2 > 0") == [("b",)]
    assert query("SELECT * FROM words(NULL)") == query("SELECT * FROM words('')") == []
    assert query("SELECT t.id, p.n FROM t, points(t.id) p WHERE t.id < 3") == [
        (1, 0),
        (2, 0),
        (2, 1),
    ]
    assert query("SELECT text FROM words('x')") == [
        ("x",)
    ]  # an argument can be read, as a hidden column


def test_table_functions_of_many_rows(query: Query) -> None:
    assert query("SELECT * FROM points(40000)") == [
        (i, i / 2 if i % 3 else None) for i in range(40_000)
    ]
    assert query("SELECT count(*), sum(x), max(s) FROM batches(7)") == [
        (7000, sum(range(1000)) * 7 + 21000.0, "6:999")
    ]


def test_table_function_runs_as_far_as_rows_are_asked_for(query: Query) -> None:
    assert query("SELECT n FROM points(1000000000000) LIMIT 2") == [(0,), (1,)]
    assert next(points(10**12)) == (0, None)


def test_large_rows_come_in_pieces(query: Query) -> None:
    assert query("SELECT size, length(data) FROM large(40)") == [(i, 3 << 20) for i in range(40)]


def test_rows_of_any_form(query: Query) -> None:
    for form in ("mappings", "values"):
        assert query("SELECT value FROM odd_rows(?)", form) == [(1,), (None,)]
    assert query("SELECT value FROM odd_rows('none')") == []
    for kind, expected in {
        "wide": "TypeError: the function yielded a row of 2 values, but has 1 columns: value",
        "unknown": "TypeError: the function yielded a value for 'other'",
        "wrong": "TypeError: the function returned str, but its result is declared int",
        "number": "TypeError: the function returned int: a table function yields rows",
        "raises": "ZeroDivisionError",
    }.items():
        assert expected in query.error("SELECT value FROM odd_rows(?)", kind)
    assert "UDF 'words': takes 1 argument (text), got 2" in query.error(
        "SELECT * FROM vm_table('words', 'a', 'b')"
    )
    assert "expected TEXT, got INTEGER" in query.error("SELECT * FROM words(1)")
    assert "use vm_udf and vm_map" in query.error("SELECT * FROM vm_table('ratio', 1, 2)")
    assert "no UDF named 'nobody'" in query.error("SELECT * FROM vm_table('nobody')")


def test_map_with_a_table_function(query: Query) -> None:
    source = (
        "SELECT 10, ? UNION ALL SELECT 20, '''' UNION ALL SELECT 30, NULL UNION ALL SELECT 40,"
        " ''z''"
    )
    assert query(f"SELECT key, value, value2 FROM vm_map('words', '{source}', 'a b')") == [
        (10, "a", 0),
        (10, "b", 2),
        (40, "z", 0),
    ]
    source = NUMBERS.format(300) + "SELECT i, i FROM n"
    assert query(f"SELECT key, count(*) FROM vm_map('points', '{source}') GROUP BY key") == [
        (i, i) for i in range(1, 301)
    ]


def test_table_functions_in_python() -> None:
    assert list(words("to be")) == [("to", 0), ("be", 3)]
    assert sum(batch.num_rows for batch in batches.batches(3)) == 3000
    assert pa.Table.from_batches(points.batches(n=3)).to_pydict() == {
        "n": [0, 1, 2],
        "half": [None, 0.5, 1.0],
    }
    with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
        list(odd_rows("raises"))
    with pytest.raises(udfvm.TypeMappingError, match=r"'text' \(position 1\) is declared string"):
        list(words(5))
    assert pickle.loads(pickle.dumps(words)) is words


# ---- Aggregates ----


def gini_of(values: list[float]) -> float:
    ordered = sorted(values)
    return sum((2 * i - len(ordered) + 1) * value for i, value in enumerate(ordered)) / (
        len(ordered) * sum(ordered)
    )


def test_aggregates_by_group(query: Query) -> None:
    sql = (
        NUMBERS.format(10_000)
        + "SELECT i % 3000 AS g, vm_agg('gini', i * 1.0), gini(i), total(i), count(*) FROM n GROUP"
        " BY g ORDER BY g"
    )
    rows = query(sql)
    for g, by_name, own, summed, _ in rows:
        values = [float(i) for i in range(1, 10_001) if i % 3000 == g]
        assert by_name == own == pytest.approx(gini_of(values))
        assert summed == sum(values)
    assert len(rows) == 3000


def test_groups_share_a_vm_in_one_statement_and_no_longer(query: Query) -> None:
    for _ in range(2):
        assert query(
            NUMBERS.format(50)
            + "SELECT max(x) FROM (SELECT groups_alive(i) AS x FROM n GROUP BY i % 10)"
        ) == [(10,)]


def test_nulls_and_empty_groups(query: Query) -> None:
    assert query("SELECT gini(a), joined(a, ',') FROM (SELECT NULL AS a)") == [(None, ",-")]
    assert query("SELECT gini(1.0), total(1.0), joined('', '') FROM t WHERE 0") == [(None, 0.0, "")]
    assert query("SELECT vm_agg('gini', 1.0) FROM t WHERE 0") == [(None,)]
    assert query("SELECT gini(a) FILTER (WHERE id <> 2) FROM t") == [
        (pytest.approx(gini_of([6.0, 9.0])),)
    ]
    assert query("SELECT sum(x) FROM (SELECT total(a) AS x FROM t GROUP BY id)") == [(16.0,)]


@pytest.mark.parametrize("function", ["middle(v)", "vm_agg('middle', v)", "total(v)"])
@pytest.mark.parametrize(
    ("frame", "before", "after"),
    [
        ("ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", 2, 0),
        ("ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING", 1, 2),
        ("RANGE 3 PRECEDING", 3, 0),
        ("GROUPS BETWEEN 2 FOLLOWING AND 4 FOLLOWING", -2, 4),
    ],
)
def test_windows(query: Query, function: str, frame: str, before: int, after: int) -> None:
    source = (
        "WITH d(i, v) AS (SELECT value, (value * 37 % 11) * 1.0 FROM ("
        + NUMBERS.format(60)
        + "SELECT i AS value FROM n)) "
    )
    values = [row[0] for row in query(source + "SELECT v FROM d ORDER BY i")]
    found = [
        row[0]
        for row in query(source + f"SELECT {function} OVER (ORDER BY i {frame}) FROM d ORDER BY i")
    ]
    for i, value in enumerate(found):
        window = values[max(0, i - before) : i + after + 1]
        middle_one = sorted(window)[len(window) // 2] if window else None
        assert value == (sum(window) if function.startswith("total") else middle_one)


def test_windows_without_inverse(query: Query) -> None:
    running = query(NUMBERS.format(5) + "SELECT gini(i) OVER (ORDER BY i) FROM n")
    assert [row[0] for row in running] == [
        pytest.approx(gini_of([float(k) for k in range(1, i + 1)])) for i in range(1, 6)
    ]
    assert "UDF 'gini': has no inverse(), so it cannot serve a window that moves" in query.error(
        NUMBERS.format(5) + "SELECT gini(i) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n"
    )
    assert query("SELECT gini(a) FROM t WHERE id = 1") == [(0.0,)]


def test_failing_aggregates(query: Query) -> None:
    assert query.error(NUMBERS.format(10) + "SELECT fails(i) FROM n").startswith(
        "UDF 'fails', row 4: ValueError: five"
    )
    message = query.error(NUMBERS.format(4) + "SELECT i % 2 AS g, fails(i) FROM n GROUP BY g")
    assert message.startswith("UDF 'fails': LookupError: no value")
    assert "expected INTEGER, got TEXT" in query.error("SELECT fails('x')")
    assert "vm_agg: no UDF named 'nobody' is registered" in query.error(
        "SELECT vm_agg('nobody', 1)"
    )
    assert "use vm_udf and vm_map" in query.error("SELECT vm_agg('ratio', 1, 2)")
    assert "takes 1 argument (value), got 2" in query.error("SELECT vm_agg('gini', 1, 2)")
    assert "the first argument must be the name" in query.error("SELECT vm_agg()")
    assert query("SELECT gini(a) FROM t WHERE id = 1") == [(0.0,)]


def test_aggregate_abandoned_by_limit(query: Query) -> None:
    assert (
        len(query(NUMBERS.format(1000) + "SELECT i % 100, gini(i) FROM n GROUP BY 1 LIMIT 1")) == 1
    )
    cursor = query.connection.execute(
        NUMBERS.format(1000) + "SELECT total(i) OVER (ORDER BY i) FROM n"
    )
    assert next(cursor) == (1.0,)
    cursor.close()
    assert query("SELECT total(a) FROM t") == [(16.0,)]


def test_aggregates_in_python() -> None:
    values = np.random.default_rng(7).random(300_000)
    ordered = np.sort(values)
    count = len(values)
    expected = ((2 * np.arange(count) - count + 1) * ordered).sum() / (count * ordered.sum())
    assert gini(values) == pytest.approx(expected)  # enough rows for two micro-VMs and merge()
    assert gini(pa.chunked_array([[1.0, None], [3.0]])) == pytest.approx(gini_of([1.0, 3.0]))
    assert total(values) == pytest.approx(values.sum())
    assert joined(pa.array(["a", None]), "/") == "/a/-"
    with pytest.raises(udfvm.UDFError, match="row 4: ValueError: five"):
        fails(np.arange(1, 9))
    with pytest.raises(udfvm.TypeMappingError, match="called with arrays"):
        gini(1.0)
    assert pickle.loads(pickle.dumps(gini)) is gini


def test_flights(query: Query, flights_db: Path) -> None:
    query(f"ATTACH '{flights_db}' AS f")
    try:
        source = "SELECT rowid, dep_delay, distance FROM f.flights"
        sums = query(f"SELECT sum(value), count(*), count(value) FROM vm_map('ratio', '{source}')")
        assert sums == [
            (
                pytest.approx(query("SELECT sum(dep_delay * 1.0 / distance) FROM f.flights")[0][0]),
                336_776,
                328_521,
            )
        ]
        assert query("SELECT carrier, total(distance) FROM f.flights GROUP BY carrier") == query(
            "SELECT carrier, sum(distance) * 1.0 FROM f.flights GROUP BY carrier"
        )
    finally:
        query("DETACH f")


# ---- Declarations ----


def test_declarations_that_cannot_be() -> None:
    class NoFinish:
        def step(self, value: int) -> None: ...

    class BadInverse:
        def step(self, value: int) -> None: ...
        def inverse(self) -> None: ...
        def finish(self) -> int: ...

    class Wide:
        def step(self, value: int) -> None: ...
        def finish(self, extra: int) -> int: ...

    for cls, expected in (
        (NoFinish, "it has no finish"),
        (BadInverse, "must be a method with 1 argument"),
        (Wide, "no arguments"),
    ):
        with pytest.raises(udfvm.SignatureError, match=expected):
            udfvm.aggregate(cls)

    def rows() -> list[int]:
        return []

    with pytest.raises(udfvm.SignatureError, match="the columns are not declared"):
        udfvm.table_function(rows)
    with pytest.raises(udfvm.SignatureError, match="two columns 'a'"):
        udfvm.table_function(columns={"a": int, "A": int})(rows)
    with pytest.raises(
        udfvm.SignatureError, match="uint64, which table functions and aggregates do not have"
    ):
        udfvm.table_function(columns={"a": "uint64"})(rows)
    with pytest.raises(udfvm.SignatureError, match="takes scalar and vectorised UDFs"):
        udfvm.arrow.register(None, words)


def test_redefinition_across_roles() -> None:
    def as_udf(text: str) -> str:
        return text

    def as_table(text: str) -> list[str]:
        return [text, text]

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.udf(name="f")(as_udf))
    assert connection.execute("SELECT f('x')").fetchall() == [("x",)]
    udfvm.sqlite.register(connection, udfvm.table_function(columns={"a": str}, name="f")(as_table))
    assert connection.execute("SELECT a FROM f('x')").fetchall() == [("x",), ("x",)]
    with pytest.raises(apsw.SQLError, match="no such function"):
        connection.execute("SELECT f('x')")
    udfvm.sqlite.register(connection, udfvm.udf(name="f")(as_udf))
    assert connection.execute("SELECT f('x')").fetchall() == [("x",)]
    with pytest.raises(apsw.SQLError, match=r"no such table|not a function"):
        connection.execute("SELECT * FROM f('x')").fetchall()
    connection.close()


def test_standard_librarys_sqlite3() -> None:
    connection = sqlite3.connect(":memory:")
    if not hasattr(connection, "enable_load_extension"):
        pytest.skip("this Python's sqlite3 takes no extensions")
    udfvm.sqlite.register(connection, ratio, words, total)
    assert connection.execute(
        "SELECT key, value FROM vm_map('ratio', 'SELECT 1, 6, 2')"
    ).fetchall() == [(1, 3.0)]
    assert connection.execute("SELECT * FROM words('a b')").fetchall() == [("a", 0), ("b", 2)]
    assert connection.execute("SELECT total(1.5)").fetchall() == [(1.5,)]
    connection.close()


# ---- Hostile replies ----


HEAD, COLUMN = struct.Struct("<QII"), struct.Struct("<IIQQQQ")


def reply(
    rows: int, *columns: tuple[int, int, int, int, int], tail: bytes = b"", flags: int = 0
) -> bytes:
    return (
        HEAD.pack(rows, len(columns), flags)
        + b"".join(COLUMN.pack(kind, 0, *rest) for kind, *rest in columns)
        + tail
    )


TEXT, INT64 = 3, 1
BODY = HEAD.size + COLUMN.size
OFFSETS = struct.pack("<2q", 0, 2)


@pytest.mark.parametrize(
    ("forgery", "expected"),
    [
        (b"", "too short"),
        (reply(1), "not of the declared columns"),
        (reply(1, (TEXT, 0, 0, 0, 0), flags=2), "not of the declared columns"),
        (reply(2, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "more rows than there can be"),
        (reply(2**63, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "more rows than there can be"),
        (reply(0, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "not a value for each row"),
        (reply(1, (INT64, 0, BODY, BODY, 0), tail=bytes(64)), "not of the declared type"),
        (reply(1, (TEXT, 0, 2**64 - 8, BODY, 0), tail=bytes(64)), "outside of the reply"),
        (reply(1, (TEXT, 0, BODY, 2**63, 2**63), tail=bytes(64)), "outside of the reply"),
        (reply(1, (TEXT, 2**62, BODY, BODY, 0), tail=bytes(64)), "outside of the reply"),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", 0, 3) + b"ab"),
            "lead out of the data",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", 2, 1) + b"ab"),
            "offsets that fall",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", -9, 1) + b"ab"),
            "offsets that fall",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=OFFSETS + b"\xff\xfe"),
            "TEXT that is not valid UTF-8",
        ),
    ],
    ids=itertools.count(),
)
def test_forged_replies_of_a_map(query: Query, forgery: bytes, expected: str) -> None:
    message = query.error("SELECT value FROM vm_map('forged', 'SELECT 1, ?', ?)", forgery)
    assert (
        message.startswith("UDF 'forged': the guest's reply is not valid: ") and expected in message
    )
    honest = reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=OFFSETS + b"ab")
    assert query("SELECT value FROM vm_map('forged', 'SELECT 1, ?', ?)", honest) == [("ab",)]


def test_forged_rows_of_a_table(query: Query) -> None:
    two = HEAD.size + 2 * COLUMN.size
    for source in (1, -1):
        forgery = reply(1, (INT64, 0, 0, two, 8), (0, 0, 0, 0, 0), tail=struct.pack("<q", source))
        assert "a row of no row of arguments" in query.error(
            "SELECT * FROM forged_table(?)", forgery
        )
        with pytest.raises(udfvm.ProtocolError):
            list(forged_table(forgery[:30]))
    assert "a row of no row" in query.error(
        "SELECT * FROM forged_table(?)", reply(1, (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
    )
    assert "more rows than there can be" in query.error(
        "SELECT * FROM forged_table(?)", reply(65, (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
    )
    assert query(
        "SELECT * FROM forged_table(?)",
        reply(1, (INT64, 0, 0, two, 8), (0, 0, 0, 0, 0), tail=bytes(8)),
    ) == [(None,)]


# ---- Without a program that registers, and with limits of a statement ----


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A connection with the extension alone, as the sqlite3 shell has it."""
    connection = apsw.Connection(str(tmp_path / "bare.db"))
    connection.enable_load_extension(True)
    connection.load_extension(str(_extension.PATH), _extension.ENTRY_POINT)
    yield connection
    connection.close()


def test_sealed_functions_of_every_kind(bare: apsw.Connection) -> None:
    for udf in (ratio, ratio_of_arrays, words, middle):
        sealed.seal(udf)
    query = Query(bare)
    for name in ("ratio", "ratio_of_arrays"):
        assert query("SELECT key, value FROM vm_map(?, 'SELECT 1, 6, 2')", name) == [(1, 3.0)]
    assert query("SELECT c1, c2 FROM vm_table('words', 'a b')") == [("a", 0), ("b", 2)]
    assert query("SELECT value, value2 FROM vm_map('words', 'SELECT 1, ''a b''')") == [
        ("a", 0),
        ("b", 2),
    ]
    assert query(NUMBERS.format(5) + "SELECT vm_agg('middle', i) FROM n") == [(3.0,)]
    assert query("SELECT vm_attach('words'), vm_attach('middle')") == [("words", "middle")]
    assert query("SELECT word FROM words('a b') WHERE at = 2") == [("b",)]
    assert query(
        NUMBERS.format(4) + "SELECT middle(i) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n"
    ) == [(1.0,), (2.0,), (3.0,), (4.0,)]


def test_stored_functions_in_batches() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, policy=udfvm.sqlite.Policy(languages=("python",), allow_create=True)
    )
    query = Query(connection)
    query("SELECT vm_create('twice', 'python', 'def twice(a): return a * 2', '(a int) -> int')")
    source = NUMBERS.format(1000) + "SELECT i, i FROM n"
    assert query(f"SELECT sum(value) FROM vm_map('twice', '{source}')") == [(1001 * 1000,)]
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM vm_map('stuck_for_long', 'SELECT 1, 5')",
        "SELECT * FROM rows_for_ever()",
        "SELECT never(1)",
    ],
    ids=["map", "table", "aggregate"],
)
def test_interrupts_and_statement_timeouts(statement: str) -> None:
    @udfvm.udf
    def stuck_for_long(i: int) -> int:
        while i > 2:
            pass
        return i

    @udfvm.table_function(columns={"value": int})
    def rows_for_ever() -> Iterator[int]:
        while True:
            if _seen.get("never"):
                yield 1

    @udfvm.aggregate
    class never:  # noqa: N801
        def step(self, value: int) -> None:
            while value:
                pass

        def finish(self) -> int:
            return 1

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        stuck_for_long,
        rows_for_ever,
        never,
        policy=udfvm.sqlite.Policy(statement_timeout=0.3),
    )
    query = Query(connection)
    assert "the statement did not end within 0.3 s" in query.error(statement)
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy())
    connection.set_progress_handler(lambda: True, 1000)
    with pytest.raises(apsw.InterruptError):
        query(statement)
    connection.set_progress_handler(None, 1000)
    assert query("SELECT stuck_for_long(1)") == [(1,)]
    connection.close()


FORGED_VALUES = {
    "nothing": (b"", "too short"),
    "no row": (reply(0, (INT64, 0, 0, BODY, 8), tail=bytes(8)), "no value"),
    "two rows": (reply(2, (INT64, 0, 0, BODY, 16), tail=bytes(16)), "more rows than there can be"),
    "text": (reply(1, (TEXT, 0, BODY, BODY, 0), tail=bytes(16)), "not of the declared type"),
}


@pytest.mark.parametrize("forgery", FORGED_VALUES)
def test_forged_values_of_an_aggregate(forgery: str) -> None:
    forged_reply, expected = FORGED_VALUES[forgery]

    @udfvm.aggregate
    class liar:  # noqa: N801
        def step(self, value: int) -> None: ...

        def finish(self) -> int:
            ctypes.memmove(OUTPUT, forged_reply, len(forged_reply))
            ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(COMPLETE)(0, len(forged_reply))
            return 1

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, liar, total)
    for sql in (
        "SELECT liar(1)",
        "SELECT liar(1) WHERE 0",
        NUMBERS.format(3) + "SELECT liar(i) OVER (ORDER BY i) FROM n",
    ):
        message = Query(connection).error(sql)
        assert (
            message.startswith("UDF 'liar': the guest's reply is not valid: ")
            and expected in message
        )
    assert connection.execute("SELECT total(1)").fetchall() == [(1.0,)]
    connection.close()
    with pytest.raises(udfvm.ProtocolError):
        liar(np.arange(3))
