"""Failed calls of SQL: the exception that a call in Python would have raised is the cause."""

from __future__ import annotations

import gc
import sqlite3
import weakref

import apsw
import pytest
from cause_functions import Marked
from interrupts import interrupting

import udfvm
from udfvm.functions.scalar import ScalarFunction

PLACES = [
    "SELECT fails('{}')",
    "SELECT value FROM vm_map('fails', 'SELECT 1, ''{}''')",
    "INSERT INTO kept SELECT fails('{}')",
]


@pytest.mark.parametrize("query", PLACES)
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("raise", udfvm.UDFError),
        ("exit", udfvm.GuestExitError),
        ("time", udfvm.CallTimeoutError),
        ("host", udfvm.errors.HostFunctionError),
    ],
)
def test_the_cause_is_what_python_would_have_raised(
    connection: apsw.Connection, query: str, how: str, kind: type[udfvm.errors.CallError]
) -> None:
    connection.execute("CREATE TABLE kept(x)")
    with pytest.raises(apsw.SQLError) as raised:
        connection.execute(query.format(how)).fetchall()
    error, cause = raised.value, raised.value.__cause__
    assert type(cause) is kind
    assert (error.result, error.extendedresult) == (apsw.SQLITE_ERROR, apsw.SQLITE_ERROR)
    assert (cause.udf, cause.row) == ("fails", 0)
    assert str(error).splitlines()[0] == str(cause).splitlines()[0]
    if isinstance(cause, udfvm.UDFError):
        assert (cause.guest_type, cause.guest_message) == ("KeyError", "'no such key'")
        assert 'raise KeyError("no such key")' in cause.guest_traceback
    if how == "host":
        assert isinstance(cause.__cause__, LookupError)
    assert connection.execute("SELECT fails('ok'), count(*) FROM kept").fetchall() == [(0, 0)]


def test_a_stored_function_has_a_cause_too(connection: apsw.Connection) -> None:
    connection.execute(
        "SELECT vm_create('kept_one', 'python', 'def f(x): return 1 // x', '(int) -> int')"
    ).fetchall()
    with pytest.raises(apsw.SQLError) as raised:
        connection.execute("SELECT vm_udf('kept_one', 0)").fetchall()
    assert isinstance(raised.value.__cause__, udfvm.UDFError)
    assert raised.value.__cause__.guest_type == "ZeroDivisionError"


@pytest.mark.parametrize(
    "place",
    [
        "SELECT {}",
        "SELECT value FROM vm_map('{}', 'SELECT 1, 1')",
        "SELECT c1 FROM vm_table('{}', 1)",
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_a_statements_timeout_is_the_cause(
    functions: list[ScalarFunction], place: str, streams: bool
) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions, policy=udfvm.sqlite.Policy(statement_timeout=0.3))
    name = "yields" if "vm_table" in place else "waits"
    query = place.format(name if "(" in place else f"{name}(1)")
    if streams:
        query = (
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) SELECT count(waits(i /"
            f" 40)), ({query}) FROM n"
        )
    with pytest.raises(
        apsw.SQLError, match=r"the statement did not end within 0\.3 s \(statement_timeout\)"
    ) as raised:
        connection.execute(query).fetchall()
    assert type(raised.value.__cause__) is udfvm.CallTimeoutError
    assert str(raised.value.__cause__) == str(raised.value)
    assert raised.value.__cause__.udf in ("waits", "yields")
    assert connection.execute("SELECT waits(0)").fetchall() == [(0,)]
    connection.close()


def test_a_wait_past_the_statements_timeout_has_a_cause() -> None:
    @udfvm.udf(pool=udfvm.Pool(size=1, wait=30))
    def lone(x: int) -> int:
        return x

    connection, other = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for each in (connection, other):
        udfvm.sqlite.register(
            each,
            lone,
            policy=udfvm.sqlite.Policy(statement_timeout=0.3 if each is connection else None),
        )
    holds = other.execute("SELECT lone(value) FROM json_each('[1, 2, 3]')")
    next(holds)
    with pytest.raises(apsw.SQLError, match="statement_timeout") as raised:
        connection.execute("SELECT lone(1)").fetchall()
    assert type(raised.value.__cause__) is udfvm.CallTimeoutError
    connection.close()
    other.close(True)


def test_a_statement_waits_for_a_vm_as_long_as_the_pool_says() -> None:
    @udfvm.udf(pool=udfvm.Pool(size=1, wait=0.01), timeout=None)
    def only(x: int) -> int:
        return x

    connection, other = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, only)
    udfvm.sqlite.register(other, only)
    holds = other.execute("SELECT only(value) FROM json_each('[1, 2, 3]')")
    next(holds)
    with pytest.raises(apsw.SQLError) as raised:
        connection.execute("SELECT only(1)").fetchall()
    assert str(raised.value) == (
        "UDF 'only', row 0: the only VM of the pool is busy; finish or close statements, call from"
        " fewer threads at once, or bind the function to a larger pool (udfvm.Pool(size=...)), or"
        " to one that waits longer (wait=...)"
    )
    assert type(raised.value.__cause__) is udfvm.BusyError
    with pytest.raises(apsw.SQLError, match=r"busy; running statements of this connection hold 1,"):
        other.execute("SELECT only(1)").fetchall()
    connection.close()
    other.close(True)


MOVES = "(ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)"


@pytest.mark.parametrize(
    ("query", "kind", "attributes"),
    [
        ("SELECT waits('x')", udfvm.TypeMappingError, ("x", 1, 0)),
        ("SELECT vm_udf('waits', x'00')", udfvm.TypeMappingError, ("x", 1, 0)),
        ("SELECT fails(CAST(x'ff' AS TEXT))", udfvm.TypeMappingError, ("how", 1, 0)),
        (
            "SELECT value FROM vm_map('waits', 'SELECT 1, value FROM json_each(''[0, 0, 2.5]'')')",
            udfvm.TypeMappingError,
            ("x", 1, 2),
        ),
        ("SELECT gathers('x')", udfvm.TypeMappingError, ("x", 1, 0)),
        ("SELECT i FROM yields(2.5)", udfvm.TypeMappingError, ("n", 1, 0)),
        ("SELECT vm_udf('waits', 1, 2)", udfvm.TypeMappingError, (None, None, None)),
        ("SELECT vm_agg('gathers')", udfvm.TypeMappingError, (None, None, None)),
        ("SELECT vm_udf('nobody', 1)", udfvm.UnknownUDFError, None),
        ("SELECT vm_agg('nobody', 1)", udfvm.UnknownUDFError, None),
        ("SELECT value FROM vm_map('nobody', 'SELECT 1, 1')", udfvm.UnknownUDFError, None),
        ("SELECT c1 FROM vm_table('nobody', 1)", udfvm.UnknownUDFError, None),
        ("SELECT vm_udf('gathers', 1)", udfvm.SignatureError, None),
        (
            f"SELECT gathers(value) OVER {MOVES} FROM json_each('[1, 2, 3, 4]')",
            udfvm.SignatureError,
            None,
        ),
    ],
)
def test_what_comes_to_no_call_has_a_cause_too(
    connection: apsw.Connection,
    query: str,
    kind: type[Exception],
    attributes: tuple[str | None, int | None, int | None] | None,
) -> None:
    with pytest.raises(apsw.SQLError) as raised:
        connection.execute(query).fetchall()
    cause = raised.value.__cause__
    assert type(cause) is kind
    assert str(cause) == str(raised.value)
    if isinstance(cause, udfvm.TypeMappingError):
        assert (cause.argument, cause.position, cause.row) == attributes
    assert connection.execute("SELECT fails('ok')").fetchall() == [(0,)]


@pytest.mark.parametrize("query", [PLACES[0], PLACES[1]])
def test_what_ends_a_program_in_a_host_function_passes_as_it_is(
    connection: apsw.Connection, query: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        connection.execute(query.format("quit")).fetchall()
    assert raised.value.code == 7
    assert connection.execute("SELECT fails('ok')").fetchall() == [(0,)]


def test_an_aggregate_that_fails_beside_others_raises_its_own_error(
    connection: apsw.Connection,
) -> None:
    query = (
        "SELECT gathers(x), gathers(x + 10), gathers(x) FILTER (WHERE x < 3) FROM (SELECT 1 x UNION"
        " ALL SELECT 2 UNION ALL SELECT -1)"
    )
    with pytest.raises(apsw.SQLError, match="ValueError: negative") as raised:
        connection.execute(query).fetchall()
    assert isinstance(raised.value.__cause__, udfvm.UDFError)
    assert connection.execute(
        "SELECT gathers(x) FROM (SELECT 1 x UNION ALL SELECT 2)"
    ).fetchall() == [(2,)]


def test_nothing_keeps_a_failure_alive(connection: apsw.Connection) -> None:
    class Local:
        pass

    def fail() -> weakref.ref[Local]:
        local = Local()
        with pytest.raises(apsw.SQLError):
            connection.execute("SELECT fails('raise')").fetchall()
        return weakref.ref(local)

    reference = fail()
    gc.collect()
    assert reference() is None


def test_an_exception_of_python_goes_before(connection: apsw.Connection) -> None:
    def breaks(x: int) -> int:
        raise Marked

    connection.create_scalar_function("breaks", breaks)
    with pytest.raises(Marked):
        connection.execute(
            "SELECT gathers(x), breaks(x) FROM (SELECT 2 x UNION ALL SELECT 3)"
        ).fetchall()
    assert connection.execute("SELECT fails('ok')").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT waits(1)",
        "SELECT value FROM vm_map('waits', 'SELECT 1, 1')",
        "SELECT value FROM vm_map('fails', 'SELECT 1, waits(1)')",
        "SELECT gathers(1)",
        "SELECT gathers(x) OVER () FROM (SELECT 1 x)",
        "SELECT i FROM yields(1)",
        "SELECT c1 FROM vm_table('yields', 1)",
        "WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT count(waits(0)) FROM n",
    ],
)
def test_an_interrupt_has_sqlites_own_text(connection: apsw.Connection, query: str) -> None:
    with interrupting(connection), pytest.raises(apsw.InterruptError) as raised:
        connection.execute(query).fetchall()
    assert str(raised.value) == "interrupted"
    assert connection.execute("SELECT waits(0)").fetchall() == [(0,)]


@pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "enable_load_extension"),
    reason="this Python's sqlite3 loads no extensions",
)
def test_the_standard_librarys_sqlite3_has_the_text(functions: list[ScalarFunction]) -> None:
    connection = sqlite3.connect(":memory:")
    udfvm.sqlite.register(connection, *functions)
    with pytest.raises(sqlite3.OperationalError, match="UDF 'fails', row 0: KeyError"):
        connection.execute("SELECT fails('raise')").fetchall()
    assert connection.execute("SELECT fails('ok')").fetchall() == [(0,)]
    connection.close()
