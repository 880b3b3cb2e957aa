"""Stored functions that cannot be loaded: what is the cause."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import apsw
import pytest
from busy_processes import when_busy
from cause_functions import Marked
from interrupts import interrupting

import udfvm
from udfvm.functions.scalar import ScalarFunction

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
        udfvm.OptionError,
        "its options",
    ),
    (("bad", "python", b"\xff", "(int) -> int"), udfvm.SignatureError, "not valid UTF-8"),
    (("bad", "cobol", "x", "(int) -> int"), udfvm.OptionError, "unknown language"),
    (
        ("fails", "python", "x", "(int) -> int"),
        udfvm.SignatureError,
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
    if not text.startswith("the connection has"):
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
    with interrupting(with_endless_source), pytest.raises(apsw.InterruptError) as raised:
        with_endless_source.execute(query).fetchall()
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
    timer = when_busy(lambda: os.kill(os.getpid(), signal.SIGUSR1))
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
        apsw.SQLError,
        match="all 64 VMs of the pool are busy; running statements of this connection hold 64, one",
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
