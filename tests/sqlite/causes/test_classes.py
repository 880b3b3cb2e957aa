"""The class of each failure of the SQL functions, and texts that say which words are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import udfvm
from udfvm.sqlite import Policy


@udfvm.udf
def one(x: int) -> int:
    return x


@udfvm.aggregate
class Spread:
    def step(self, value: float) -> None: ...
    def finish(self) -> float:
        return 0.0


@pytest.fixture(name="connection", scope="module")
def _connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        one,
        Spread,
        policy=Policy(languages=["python"], allow_create=True, max_source=99),
    )
    connection.execute("SELECT vm_create('f', 'python', 'def f(x): return x', '(int) -> int')")
    yield connection
    connection.close()


OPTIONS = (
    "they are replace, deterministic, isolation=row, isolation=statement,"
    " row_timeout=SECONDS, entry=NAME"
)
KNOWN = "(known: int, double, text, blob, bool, json)"
G = "vm_create('g', 'python', 'def g(x): return x', "
F = "vm_create('f', 'python', 'def f(x): return x', "


@pytest.mark.parametrize(
    ("call", "cause", "text"),
    [
        ("vm_udf('spread', 1)", udfvm.SignatureError, "an aggregate, which vm_udf does not run"),
        ("vm_agg('one', 1)", udfvm.SignatureError, "a scalar function, which vm_agg does not run"),
        (F + "'(int) -> int')", udfvm.SignatureError, "vm_create: 'f': it exists already"),
        (
            "vm_create('one', 'python', '', '(int) -> int')",
            udfvm.TypeMappingError,
            "vm_create takes name, language, source, signature",
        ),
        (
            "vm_create('one', 'python', ' ', '(int) -> int')",
            udfvm.SignatureError,
            "the connection has a function of that name",
        ),
        ("vm_create('vm_x', 'python', ' ', '() -> int')", udfvm.SignatureError, "cannot be a name"),
        ("vm_create('g', 'perl', ' ', '() -> int')", udfvm.OptionError, "unknown language 'perl'"),
        ("vm_create('g', 'wasm', ' ', '() -> int')", udfvm.PolicyError, "does not allow functions"),
        (
            "vm_create('g', 'python', printf('%200s', ' '), '() -> int')",
            udfvm.PolicyError,
            "its source has 200 bytes",
        ),
        (G + "'(int) -> int', 'bogus')", udfvm.OptionError, f"'bogus' is not an option: {OPTIONS}"),
        (G + "'(int) -> int', 'row_timeout=x')", udfvm.OptionError, "a positive number of seconds"),
        (G + "'(foo) -> int')", udfvm.SignatureError, f"unknown type 'foo' at byte 2 {KNOWN}"),
        (
            G + "'(x foo?) -> int')",
            udfvm.SignatureError,
            f"unknown type 'foo' at byte 4 {KNOWN}",
        ),
        (
            G + "'(x: foo) -> int')",
            udfvm.SignatureError,
            f"unknown type 'foo' at byte 5 {KNOWN}",
        ),
        (G + "'(int) -> foo')", udfvm.SignatureError, f"unknown type 'foo' at byte 10 {KNOWN}"),
        (G + "'(int) -> ')", udfvm.SignatureError, "expected a type of the result (int, double"),
        ("vm_drop('g')", udfvm.UnknownUDFError, "vm_drop: there is no function 'g'"),
        ("vm_drop()", udfvm.TypeMappingError, "vm_drop takes the name"),
        ("vm_policy('log', 'drop')", udfvm.PolicyError, "SQL cannot change it"),
        ("vm_policy('bogus')", udfvm.OptionError, "vm_policy: the settings are allow_create"),
        ("vm_policy()", udfvm.TypeMappingError, "vm_policy takes a name"),
        ("vm_attach('one')", udfvm.PolicyError, "vm_attach: 'one': the program that opened"),
        ("vm_attach()", udfvm.TypeMappingError, "vm_attach takes the name or file"),
        ("vm_release(1)", udfvm.TypeMappingError, "vm_release takes no arguments"),
        (
            "vm_create('g', 'python', 'def g(x) return', '(int) -> int')",
            udfvm.UDFError,
            "vm_create: 'g': SyntaxError",
        ),
    ],
)
def test_the_class_of_a_failure(
    connection: apsw.Connection, call: str, cause: type[Exception], text: str
) -> None:
    with pytest.raises(apsw.SQLError) as caught:
        connection.execute(f"SELECT {call}").fetchall()
    assert text in str(caught.value)
    assert type(caught.value.__cause__) is cause
    assert str(caught.value.__cause__) == str(caught.value)


def test_a_connection_that_may_not_create() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, one)
    for call in (G + "'(int) -> int')", "vm_drop('g')"):
        with pytest.raises(apsw.SQLError, match="does not allow it") as caught:
            connection.execute(f"SELECT {call}")
        assert type(caught.value.__cause__) is udfvm.PolicyError
    connection.close()


def test_the_advice_of_a_cause_is_that_of_the_sql_error(connection: apsw.Connection) -> None:
    connection.execute(
        "SELECT vm_create('ends', 'python', 'def ends(x):\n while x: pass', '(int) -> int',"
        " 'row_timeout=0.2')"
    )
    with pytest.raises(apsw.SQLError, match=r"; raise row_timeout= if it needs longer$") as caught:
        connection.execute("SELECT vm_udf('ends', 1)").fetchall()
    assert type(caught.value.__cause__) is udfvm.CallTimeoutError
    assert str(caught.value.__cause__) == str(caught.value)


@pytest.mark.parametrize("option", ["", ", 'row_timeout=5'"])
def test_the_advice_is_about_the_policy_where_its_limit_is_the_lower(option: str) -> None:
    connection = apsw.Connection(":memory:")
    policy = udfvm.sqlite.Policy(allow_create=True, row_timeout=0.2)
    udfvm.sqlite.register(connection, policy=policy)
    connection.execute(
        "SELECT vm_create('ends', 'python', 'def ends(x):\n while x: pass', '(int) -> int'"
        f"{option})"
    )
    advice = (
        r"0\.2 s.*; raise row_timeout of the connection's policy, the most that a function gets"
    )
    with pytest.raises(apsw.SQLError, match=advice):
        connection.execute("SELECT vm_udf('ends', 1)").fetchall()
    connection.close()


@pytest.mark.parametrize(
    "call", ["vm_drop('f')", "vm_create('g', 'python', 'def g(x): return x', '(int) -> int')"]
)
def test_a_database_that_cannot_be_written(call: str, tmp_path: Path) -> None:
    path, policy = str(tmp_path / "a.db"), Policy(allow_create=True)
    with apsw.Connection(path) as writing:
        udfvm.sqlite.register(writing, policy=policy)
        writing.execute("SELECT vm_create('f', 'python', 'def f(x): return x', '(int) -> int')")
    writing.close()
    reading = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    udfvm.sqlite.register(reading, policy=policy)
    with pytest.raises(apsw.SQLError, match="readonly database") as caught:
        reading.execute(f"SELECT {call}")
    assert type(caught.value.__cause__) is udfvm.SQLConnectionError
    assert reading.execute("SELECT vm_udf('f', 1)").fetchall() == [(1,)]
    reading.close()
