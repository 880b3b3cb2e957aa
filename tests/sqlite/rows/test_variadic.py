"""Functions with a parameter ``*args`` in SQL."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest
from variadic_functions import added, joined, scaled, total

import udfvm
import udfvm.sqlite

_calls: list[int] = []


@udfvm.udf
def calls(*values: int) -> int:
    _calls.append(len(values))
    return len(_calls)


@udfvm.udf
def failing(*values: int) -> int:
    raise ValueError(f"of {len(values)}")


@udfvm.udf
def latest(*days: datetime.date) -> datetime.date | None:
    return max(days, default=None)


@udfvm.udf
def longest(*lists: list[int]) -> list[int] | None:
    return max(lists, key=len, default=None)


Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, joined, total, scaled, added, failing, longest)
    udfvm.sqlite.register(connection, latest, times="text")
    yield connection
    connection.close()


@pytest.fixture
def query(connection: apsw.Connection) -> Run:
    return lambda sql, *bindings: connection.execute(sql, bindings).fetchall()


def test_any_number_of_arguments(query: Run) -> None:
    assert query("SELECT total(), total(1), total(1, 2.5), total(1, 2, 3)") == [(0, 1, 3.5, 6)]
    assert query("SELECT vm_udf('total'), vm_udf('TOTAL', 1, 2)") == [(0, 3)]
    assert query("SELECT joined('/'), joined('/', 'a'), joined('/', 'a', NULL, 'c')") == [
        ("", "a", "a/-/c")
    ]
    assert query("SELECT total(1, NULL), joined(NULL, 'a')") == [(None, None)]
    assert query("SELECT total(total(1, 2), total(total(3)))") == [(6,)]
    assert query("SELECT latest('2024-01-02', '2024-03-01'), latest()") == [("2024-03-01", None)]
    assert query("SELECT longest('[1]', '[2, 3]'), longest()") == [("[2,3]", None)]


def test_as_many_as_functions_of_sqlite_take(query: Run) -> None:
    ones = ["1"] * 127
    assert query(f"SELECT total({', '.join(ones)})") == [(127,)]
    assert query(f"SELECT vm_udf('total', {', '.join(ones[1:])})") == [(126,)]
    assert query(f"SELECT value FROM vm_map('total', 'SELECT 0, {', '.join(ones[:60])}')") == [
        (60,)
    ]
    with pytest.raises(apsw.SQLError, match=r"too many arguments|wrong number of arguments"):
        query(f"SELECT total({', '.join([*ones, '1'])})")
    with pytest.raises(apsw.SQLError, match=r"0 to 60 arguments, .* 1 to 61 columns.*it has 62"):
        query(f"SELECT value FROM vm_map('total', 'SELECT 0, {', '.join(ones[:61])}')")


def test_defaults(query: Run) -> None:
    assert query("SELECT scaled(1), scaled(1, 3.0), scaled(1, 3.0, 4, 5)") == [(2, 3, 12)]
    assert query("SELECT vm_udf('scaled', 1), vm_udf('scaled', 1, 3.0, 1)") == [(2, 4)]
    assert query("SELECT value FROM vm_map('scaled', 'SELECT 0, 1')") == [(2,)]
    with pytest.raises(apsw.SQLError, match=r"1 to 127 .*\(n, scale=, \*xs\); got 0") as raised:
        query("SELECT vm_udf('scaled')")
    assert isinstance(raised.value.__cause__, udfvm.TypeMappingError)
    with pytest.raises(apsw.SQLError, match=r"wrong number of arguments to function scaled\(\)"):
        query("SELECT scaled()")


def test_batches(query: Run) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT"
    found = query("SELECT sum(value) FROM vm_map('added', ?)", f"{rows} i, i, 2 * i FROM n")
    assert found == [(3 * 20000 * 20001 / 2,)]
    found = query("SELECT sum(value) FROM vm_map('total', ?)", f"{rows} i, i, i, NULL FROM n")
    assert found == [(None,)]
    pairs = "SELECT q.column1, m.value FROM (VALUES (?1), (?2), (?1)) q, vm_map('total', q.column1)"
    wide, narrow = "SELECT 0, 1, 2", "SELECT 0, 5"
    found = query(f"{pairs} m", wide, narrow)
    assert found == [(wide, 3), (narrow, 5), (wide, 3)]
    with pytest.raises(apsw.SQLError, match=r"'added' takes 1 to 60 arguments.* it has 1"):
        query("SELECT value FROM vm_map('added', 'SELECT 0')")
    with pytest.raises(apsw.SQLError, match="which a call by its name does not run"):
        query("SELECT added(1, 2)")
    with pytest.raises(apsw.SQLError, match="is a vectorised function, which vm_udf does not run"):
        query("SELECT vm_udf('added', 1, 2)")


def test_errors_name_the_argument(query: Run) -> None:
    for call in ("joined('/', 'a', 1)", "vm_udf('joined', '/', 'a', 1)"):
        with pytest.raises(
            apsw.SQLError, match=r"'joined', row 0: argument 'words\[1\]' \(position 3\) takes TEXT"
        ) as raised:
            query(f"SELECT {call}")
        assert isinstance(raised.value.__cause__, udfvm.TypeMappingError)
    with pytest.raises(apsw.SQLError, match=r"row 1: argument 'words\[0\]' \(position 2\)"):
        query("SELECT value FROM vm_map('joined', 'VALUES (0, '','', ''a''), (1, '','', 2)')")
    for count in (0, 2):
        with pytest.raises(apsw.SQLError, match=f"ValueError: of {count}") as raised:
            query(f"SELECT failing({', '.join('1' * count)})")
        assert isinstance(raised.value.__cause__, udfvm.UDFError)


def test_numbers_of_arguments_share_no_state() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, calls)
    rows = "FROM (VALUES (1), (2), (3))"
    assert connection.execute(f"SELECT calls(1), calls(1, 2) {rows}").fetchall() == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert connection.execute(f"SELECT calls(1), vm_udf('calls', 1) {rows}").fetchall() == [
        (1, 2),
        (3, 4),
        (5, 6),
    ]
    udfvm.sqlite.register(connection, calls, isolation="row")
    assert connection.execute(f"SELECT calls(1), calls(1, 2) {rows}").fetchall() == [(1, 1)] * 3
    connection.close()


def test_signature_in_the_list_of_functions(query: Run) -> None:
    found = dict(query("SELECT name, signature FROM vm_functions"))
    assert found["joined"] == "(separator text, *words text?) -> text"
    assert found["scaled"] == "(n int, scale double, *xs double) -> double"


def test_names_are_followed() -> None:
    connection = apsw.Connection(":memory:")
    step = 1

    def stepped(*xs: int) -> int:
        return sum(xs) + step

    udfvm.sqlite.register(connection, udfvm.udf(stepped))
    sql = "SELECT stepped(), stepped(1, 2)"
    assert connection.execute(sql).fetchall() == [(1, 4)]
    step = 10
    assert connection.execute(sql).fetchall() == [(10, 13)]
    connection.close()


def test_replaced_and_removed() -> None:
    connection = apsw.Connection(":memory:")

    @udfvm.udf(name="total")
    def of_two(a: float, b: float) -> float:
        return a * b

    udfvm.sqlite.register(connection, total)
    assert connection.execute("SELECT total(3, 4), total(1)").fetchall() == [(7, 1)]
    udfvm.sqlite.register(connection, of_two)
    assert connection.execute("SELECT total(3, 4), vm_udf('total', 3, 4)").fetchall() == [(12, 12)]
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT total(1)")
    udfvm.sqlite.register(connection, total)
    assert connection.execute("SELECT total(3, 4), total(1)").fetchall() == [(7, 1)]
    udfvm.sqlite.unregister(connection, total)
    for call in ("total(1)", "vm_udf('total', 1)"):
        with pytest.raises(apsw.SQLError, match=r"wrong number of arguments|no UDF named"):
            connection.execute(f"SELECT {call}")
    connection.close()


def test_in_schemas_and_host_functions() -> None:
    connection = apsw.Connection(":memory:")
    fixed = total.with_options(name="fixed", deterministic=True)
    udfvm.sqlite.register(connection, fixed, in_schema=True)
    connection.execute("CREATE TABLE t(a, b, c AS (fixed(a, b)))")
    connection.execute("CREATE INDEX i ON t(fixed(a, b, 1))")
    connection.execute("INSERT INTO t VALUES (1, 2), (5, 6)")
    assert connection.execute("SELECT c FROM t WHERE fixed(a, b, 1) > 4").fetchall() == [(11,)]

    def price(item: int) -> float:
        return item / 2

    def sold(*items: int) -> float:
        return sum(price(item) for item in items)

    udfvm.sqlite.register(connection, udfvm.udf(sold, host_functions=[price]))
    assert connection.execute("SELECT sold(), sold(3), sold(3, 4, 5)").fetchall() == [(0, 1.5, 6)]
    connection.close()
