"""Failures in SQL through apsw: the exception that Python would have raised is the cause;
interrupts have SQLite's own text.
"""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import threading
import weakref
from collections.abc import Iterator

import apsw
import pytest

import udfvm
from udfvm.functions.scalar import ScalarFunction


class Marked(Exception):
    pass


@pytest.fixture(scope="module")
def functions() -> list[ScalarFunction]:
    def ask(x: int) -> int:
        if x == 1:
            raise LookupError("not here")
        if x == 2:
            raise SystemExit(7)
        return x

    @udfvm.udf(timeout=1.0, host_functions=[ask])
    def fails(how: str) -> int:
        import os

        if how == "raise":
            raise KeyError("no such key")
        if how == "exit":
            os._exit(3)
        if how == "time":
            while True:
                pass
        return ask(1 if how == "host" else 2 if how == "quit" else 0)

    @udfvm.udf(timeout=None)
    def waits(x: int) -> int:
        while x:
            pass
        return x

    @udfvm.aggregate(timeout=None)
    class gathers:  # noqa: N801 - its name in SQL
        def __init__(self) -> None:
            self.rows = 0

        def step(self, x: int) -> None:
            if x < 0:
                raise ValueError("negative")
            self.rows += 1

        def finish(self) -> int:
            while self.rows == 1:
                pass
            return self.rows

    @udfvm.table_function(columns={"i": int}, timeout=None)
    def yields(n: int):  # type: ignore[no-untyped-def]
        while n:
            pass
        yield n

    return [fails, waits, gathers, yields]


@pytest.fixture
def connection(functions: list[ScalarFunction]) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions, policy=udfvm.sqlite.Policy(allow_create=True))
    yield connection
    connection.close()


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


LOADS: list[tuple[tuple[object, ...], type[Exception], str]] = [
    (("bad", "python", "def bad(x) return x", "(int) -> int"), udfvm.UDFError, "SyntaxError"),
    (("bad", "python", "1 / 0", "(int) -> int"), udfvm.UDFError, "ZeroDivisionError"),
    (
        ("bad", "python", "while True: pass", "(int) -> int"),
        udfvm.BuildError,
        r"was not ready within 1 s \(load_timeout\)",
    ),
    (
        ("bad", "python", "import os\nos._exit(3)", "(int) -> int"),
        udfvm.BuildError,
        "was not ready by then",
    ),
    (
        ("bad", "python", "import os\nos.abort()", "(int) -> int"),
        udfvm.GuestCrashError,
        r"signal 6 \(ABRT\)",
    ),
    (("bad", "wasm", b"no module", "(int) -> int"), udfvm.UDFError, "not a WebAssembly"),
    (("bad", "native", b"no object", "(int) -> int"), udfvm.UDFError, ""),
    (("bad", "python", "def bad(x): return x", "(int) ->"), udfvm.SignatureError, "its signature"),
    (
        ("bad", "python", "def bad(x): return x", "(int) -> int", "timeot=1"),
        udfvm.SignatureError,
        "its options",
    ),
    (("bad", "python", b"\xff", "(int) -> int"), udfvm.Error, "not valid UTF-8"),
    (("bad", "cobol", "x", "(int) -> int"), udfvm.Error, "unknown language"),
    (
        ("fails", "python", "x", "(int) -> int"),
        udfvm.Error,
        "the connection has a function of that name",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    LOADS,
    ids=[f"{case[2][:20]}-{index}" for index, case in enumerate(LOADS)],
)
def test_what_keeps_a_stored_function_from_loading_is_the_cause(
    functions: list[ScalarFunction], arguments: tuple[object, ...], kind: type[Exception], text: str
) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, *functions, policy=udfvm.sqlite.Policy(allow_create=True, load_timeout=1)
    )
    marks = ", ".join("?" * len(arguments))
    with pytest.raises(
        apsw.SQLError, match=f"^vm_create: '{arguments[0]}': (.|\n)*{text}"
    ) as raised:
        connection.execute(f"SELECT vm_create({marks})", arguments).fetchall()
    assert type(raised.value.__cause__) is kind
    connection.execute(
        "SELECT vm_create('good', 'python', 'def good(x): return x', '(int) -> int')"
    ).fetchall()
    if kind is not udfvm.Error:
        values = (*arguments[1:4], " ".join(map(str, arguments[4:])))
        connection.execute(
            "UPDATE udfvm_functions SET language = ?, source = ?, signature = ?, options = ?",
            values,
        )
        for query in (
            "SELECT vm_udf('good', 1)",
            "SELECT value FROM vm_map('good', 'SELECT 1, 1')",
        ):
            with pytest.raises(apsw.SQLError, match=f"^UDF 'good': (.|\n)*{text}") as raised:
                connection.execute(query).fetchall()
            assert type(raised.value.__cause__) is kind
    assert connection.execute("SELECT fails('ok')").fetchall() == [(0,)]
    connection.close()


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
        ("SELECT vm_udf('gathers', 1)", udfvm.Error, None),
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
    other = threading.Timer(0.5, connection.interrupt)
    again = threading.Timer(
        5, connection.interrupt
    )  # the first may come before the statement begins
    other.start()
    again.start()
    try:
        with pytest.raises(apsw.InterruptError) as raised:
            connection.execute(query).fetchall()
    finally:
        other.cancel()
        again.cancel()
    assert str(raised.value) == "interrupted"
    assert connection.execute("SELECT waits(0)").fetchall() == [(0,)]


LOADING = [
    "SELECT vm_create('endless', 'python', 'while True: pass', '() -> int')",
    "SELECT vm_udf('loops')",
    "SELECT value FROM vm_map('loops', 'SELECT 1')",
]


@pytest.fixture
def with_endless_source(functions: list[ScalarFunction]) -> Iterator[apsw.Connection]:
    """A connection whose stored function ``loops`` does not end to load."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, *functions, policy=udfvm.sqlite.Policy(allow_create=True, load_timeout=300)
    )
    connection.execute(
        "SELECT vm_create('loops', 'python', 'def loops(): return 1', '() -> int')"
    ).fetchall()
    connection.execute("UPDATE udfvm_functions SET source = 'while True: pass'")
    yield connection
    connection.close()


@pytest.mark.parametrize("query", LOADING)
def test_loading_is_interrupted(with_endless_source: apsw.Connection, query: str) -> None:
    timers = [threading.Timer(after, with_endless_source.interrupt) for after in (0.5, 5)]
    for timer in timers:
        timer.start()
    try:
        with pytest.raises(apsw.InterruptError) as raised:
            with_endless_source.execute(query).fetchall()
    finally:
        for timer in timers:
            timer.cancel()
    assert str(raised.value) == "interrupted"
    with_endless_source.set_progress_handler(lambda: True, 2000)
    with pytest.raises(apsw.InterruptError, match=r"^interrupted$"):
        with_endless_source.execute(query).fetchall()
    with_endless_source.set_progress_handler(None)
    with pytest.raises(apsw.SQLError, match="no UDF named") as failed:
        with_endless_source.execute("SELECT vm_udf('nobody')").fetchall()
    assert isinstance(failed.value.__cause__, udfvm.UnknownUDFError)
    assert with_endless_source.execute("SELECT waits(0)").fetchall() == [(0,)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Marked])
def test_what_a_signal_handler_raises_while_a_function_loads(
    with_endless_source: apsw.Connection, kind: type[BaseException]
) -> None:
    def handler(number: int, frame: object) -> None:
        raise kind

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(kind):
            with_endless_source.execute(LOADING[1]).fetchall()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert with_endless_source.execute("SELECT waits(0)").fetchall() == [(0,)]


def test_loading_does_not_wait_for_what_its_own_statement_holds() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    for i in range(70):
        connection.execute(
            "SELECT vm_create(?, 'python', 'def f(x): return x', '(int) -> int')", (f"f{i}",)
        ).fetchall()
    calls = ", ".join(f"vm_udf('f{i}', 1)" for i in range(70))
    with pytest.raises(
        apsw.SQLError, match="no micro-VM became free: the pool's limit is 64, 64 held"
    ) as raised:
        connection.execute(f"SELECT {calls}").fetchall()
    assert isinstance(raised.value.__cause__, udfvm.BusyError)
    connection.close()


@pytest.mark.parametrize("query", LOADING)
def test_a_statements_timeout_ends_its_loading(
    with_endless_source: apsw.Connection, query: str
) -> None:
    policy = udfvm.sqlite.Policy(allow_create=True, load_timeout=300, statement_timeout=0.4)
    udfvm.sqlite.register(with_endless_source, policy=policy)
    with pytest.raises(apsw.SQLError, match=r"the statement did not end within 0\.4 s") as raised:
        with_endless_source.execute(query).fetchall()
    assert type(raised.value.__cause__) is udfvm.CallTimeoutError
    assert with_endless_source.execute("SELECT waits(0)").fetchall() == [(0,)]


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
