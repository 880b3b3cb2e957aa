"""A stranger's database, and arguments that make no sense: whatever is in them, there is an error,
or there is a function that works.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import udfvm.sqlite
from udfvm.guest_text import visible
from udfvm.sqlite import Policy

TABLE = (
    "CREATE TABLE udfvm_functions (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, language TEXT NOT"
    " NULL, signature TEXT NOT NULL, options TEXT NOT NULL, source BLOB NOT NULL, version INTEGER"
    " NOT NULL, created TEXT NOT NULL)"
)
UNTYPED = (
    "CREATE TABLE udfvm_functions (name, language, signature, options, source, version, created)"
)
POLICY = Policy(allow_create=True, row_timeout=2, load_timeout=2, max_source=1 << 16)
SOURCE = "def f(*arguments): return None"

_SETTINGS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Words of the languages of signatures and options, so that some of what they make is nearly right.
_WORDS = st.sampled_from(
    [
        "(",
        ")",
        ",",
        "->",
        "?",
        " ",
        "\n",
        "int",
        "double",
        "text?",
        "json",
        "a",
        "a int",
        "int, int",
        "(int) -> int",
        "() -> text",
        "\0",
        "é",
        "--",
        "'",
    ]
)
_OPTIONS = st.sampled_from(
    [
        "",
        "deterministic",
        "isolation=row",
        "isolation=",
        "row_timeout=1",
        "row_timeout=-1",
        "row_timeout=1e9",
        "row_timeout=nan",
        "row_timeout=.",
        "row_timeout=0.0000000001",
        "row_timeout=99999999999999999999",
        "entry=f",
        "entry=",
        "entry=" + "x" * 99,
        "replace",
        'entry=f"}',
        "x" * 5000,
    ]
)
_ANY = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.just("x" * 300),
    st.just(bytes(70000)),
)


def mostly(good: str, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Good three times in four, so that what comes behind is reached."""
    return st.integers(0, 3).flatmap(lambda choice: other if choice == 0 else st.just(good))


_SIGNATURES = mostly("(int) -> int", st.one_of(st.lists(_WORDS, max_size=8).map("".join), _ANY))
_LANGUAGES = mostly(
    "python", st.one_of(st.sampled_from(["wasm", "native", "PYTHON", "python\0", ""]), _ANY)
)
_NAMES = mostly(
    "f",
    st.one_of(
        st.sampled_from(["f", "F", "vm_f", "f\0", "é", "a" * 255, "a" * 256, "1", "f g", ""]), _ANY
    ),
)
_SOURCES = mostly(
    SOURCE,
    st.one_of(
        st.sampled_from([SOURCE.encode(), "def", "f = 1", "(module)", b"\0asm", b"\x7fELF"]), _ANY
    ),
)
_OPTION = mostly("deterministic", st.one_of(_OPTIONS, _ANY))
_VERSIONS = st.one_of(st.sampled_from([1, 0, -1, 2**63 - 1, -(2**63), "x", None]), _ANY)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=POLICY)
    yield connection
    connection.close()


def attempt(
    connection: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]] | str:
    """The rows, or the text of the error; the connection is usable in any case."""
    try:
        result: list[tuple[Any, ...]] | str = connection.execute(sql, bindings).fetchall()
    except apsw.Error as error:
        result = str(error)
    assert connection.execute("SELECT 7").fetchall() == [(7,)]
    return result


@_SETTINGS
@given(
    name=_NAMES,
    language=_LANGUAGES,
    source=_SOURCES,
    signature=_SIGNATURES,
    options=st.lists(_OPTION, max_size=3),
)
@example(
    name="f",
    language="python",
    source=SOURCE,
    signature="(a int, b text?) -> json",
    options=["row_timeout=1", "replace"],
)
def test_arguments_of_vm_create(
    connection: apsw.Connection,
    name: Any,
    language: Any,
    source: Any,
    signature: Any,
    options: list[Any],
) -> None:
    arguments = (name, language, source, signature, *options)
    result = attempt(connection, f"SELECT vm_create({', '.join('?' * len(arguments))})", arguments)
    if isinstance(result, str):
        assert result.startswith(("vm_create: ", "vm_create takes "))
        return
    assert result[0][0] >= 1
    stored = connection.execute(
        "SELECT language, signature, options, source FROM udfvm_functions WHERE name = ?", (name,)
    ).fetchall()
    assert stored == [
        (language, signature, " ".join(option for option in options if option != "replace"), source)
    ]
    count = signature.split("->")[0].count(",") + (
        signature.split("->")[0].strip() != "()" and "(" in signature and signature[1:2] != ")"
    )
    called = attempt(connection, f"SELECT vm_udf(?{', NULL' * count})", (name,))
    assert called == [(None,)] or "takes" in called, "what was stored is found, and loads"
    assert attempt(connection, "SELECT vm_drop(?)", (name,)) == [(1,)]


@_SETTINGS
@given(
    name=_NAMES,
    language=_LANGUAGES,
    signature=_SIGNATURES,
    options=_OPTION,
    source=_SOURCES,
    version=_VERSIONS,
    created=_ANY,
)
@example(
    name="f",
    language="python",
    signature="(int) -> int",
    options="",
    source=SOURCE,
    version=2**63 - 1,
    created="",
)
@example(
    name="f",
    language="python",
    signature="(int) -> int",
    options="",
    source=SOURCE,
    version=-1,
    created="",
)
def test_forged_rows(connection: apsw.Connection, **row: Any) -> None:
    connection.execute("DROP TABLE IF EXISTS udfvm_functions")
    connection.execute(UNTYPED)
    values = [
        row[column]
        for column in ("name", "language", "signature", "options", "source", "version", "created")
    ]
    connection.execute("INSERT INTO udfvm_functions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    for name in (row["name"], "f"):
        attempt(connection, "SELECT vm_udf(?, 1)", (name,))
        attempt(connection, "SELECT * FROM vm_map(?, 'SELECT 1, 1')", (name,))
    listed = attempt(connection, "SELECT name, language, size, hash, version FROM vm_functions")
    assert isinstance(listed, list) and [line[:2] for line in listed] == [
        (shown(row["name"]), shown(row["language"]))
    ]
    refused = attempt(connection, "SELECT vm_create('f', 'python', ?, '() -> int')", (SOURCE,))
    named_f = isinstance(row["name"], str) and row["name"].lower() == "f"
    assert ("it exists already" in refused) if named_f else refused == [(1,)]
    replaced = attempt(
        connection, "SELECT vm_create('f', 'python', ?, '() -> int', 'replace')", (SOURCE,)
    )
    assert isinstance(replaced, list) and 1 <= replaced[0][0] < 2**63
    attempt(connection, "SELECT vm_drop('f')")


def shown(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    return None if isinstance(value, float) and math.isnan(value) else value


HOSTILE_SCHEMAS = {
    "a trigger that changes what is stored": (
        (
            f"{TABLE}; CREATE TRIGGER r AFTER INSERT ON udfvm_functions BEGIN UPDATE"
            " udfvm_functions SET source = 'def f(): return 666'; END"
        ),
        [(1,)],
        [(666,)],
    ),
    "a trigger that refuses": (
        (
            f"{TABLE}; CREATE TRIGGER r BEFORE INSERT ON udfvm_functions BEGIN SELECT RAISE(ABORT,"
            " 'never here'); END"
        ),
        "vm_create: 'f': never here",
        "no UDF named 'f'",
    ),
    "a trigger that undoes": (
        (
            f"{TABLE}; CREATE TRIGGER r AFTER INSERT ON udfvm_functions BEGIN DELETE FROM"
            " udfvm_functions; END"
        ),
        [(1,)],
        "no UDF named 'f'",
    ),
    "a trigger that calls": (
        f"{TABLE}; CREATE TRIGGER r AFTER INSERT ON udfvm_functions BEGIN SELECT vm_udf('f'); END",
        r"vm_create: 'f': unsafe use of vm_udf\(\)",
        "no UDF named 'f'",
    ),
    "a check that calls": (
        TABLE.replace("source BLOB NOT NULL", "source BLOB CHECK (vm_drop(name))"),
        r"unsafe use of vm_drop\(\)",
        "no UDF named 'f'|unsafe use of",
    ),
    "a source that is computed": (
        UNTYPED.replace("source, ", "source AS ('def f(): return ' || length(name)), "),
        "vm_create: 'f': cannot INSERT into generated column",
        "no UDF named 'f'",
    ),
    "values that are computed": (
        (
            "CREATE TABLE udfvm_functions(name DEFAULT 'f', language AS ('python'), signature AS"
            " ('() -> int'), options AS (''), source AS ('def f(): return 5'), version AS (1),"
            " created AS ('')); INSERT INTO udfvm_functions DEFAULT VALUES"
        ),
        r"cannot INSERT into generated column",
        [(5,)],
    ),
    "two of one name": (
        (
            f"{UNTYPED}; INSERT INTO udfvm_functions SELECT 'f', 'python', '() -> int', '', 'def"
            " f(): return 1', 1, '' FROM (VALUES (1), (2))"
        ),
        "it exists already",
        [(1,)],
    ),
    "a name in the temporary database": (
        TABLE.replace("CREATE TABLE", "CREATE TEMP TABLE")
        + "; INSERT INTO temp.udfvm_functions VALUES ('f', 'python', '() -> int', '', 'def f():"
        " return 666', 1, '')",
        [(1,)],
        [(3,)],
    ),
    "a view": (
        (
            "CREATE VIEW udfvm_functions AS SELECT 'f' AS name, 'python' AS language, '() -> int'"
            " AS signature, '' AS options, 'x' AS source, 1 AS version, '' AS created; CREATE"
            " TRIGGER r INSTEAD OF INSERT ON udfvm_functions BEGIN SELECT 1; END"
        ),
        "not an ordinary table",
        "no UDF named 'f'",
    ),
    "an index of the same name": (
        "CREATE TABLE t(a); CREATE INDEX udfvm_functions ON t(a)",
        "already",
        "no UDF named 'f'",
    ),
}


@pytest.mark.parametrize("case", HOSTILE_SCHEMAS)
def test_hostile_schemas(tmp_path: Path, case: str) -> None:
    sql, created, called = HOSTILE_SCHEMAS[case]
    temporary = "TEMP" in sql
    if not temporary:
        stranger = apsw.Connection(str(tmp_path / "stranger.db"))
        for name in ("vm_udf", "vm_drop"):  # the schema may name what it likes
            stranger.create_scalar_function(name, lambda *_: 1, deterministic=True)
        stranger.execute(sql)
        stranger.close()
    connection = apsw.Connection(str(tmp_path / "stranger.db"))
    udfvm.sqlite.register(connection, policy=POLICY)
    if temporary:
        connection.execute(sql)
    for found, expected in (
        (
            attempt(
                connection, "SELECT vm_create('f', 'python', 'def f(): return 3', '() -> int')"
            ),
            created,
        ),
        (attempt(connection, "SELECT vm_udf('f')"), called),
    ):
        assert re.search(expected, str(found)) if isinstance(expected, str) else found == expected
    attempt(connection, "SELECT * FROM vm_functions")
    attempt(connection, "SELECT vm_drop('f')")
    connection.close()


def test_a_table_of_many_and_large_rows(tmp_path: Path) -> None:
    """Listing and calling cost what the rows cost, and no more."""
    stranger = apsw.Connection(str(tmp_path / "stranger.db"))
    stranger.execute(TABLE)
    stranger.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO"
        " udfvm_functions SELECT 'f' || i, 'python', '() -> int', '', 'def f(): return ' || i, i,"
        " '' FROM n"
    )
    stranger.execute(
        "INSERT INTO udfvm_functions VALUES ('large', 'python', '() -> int', '',"
        " zeroblob(300000000), 1, '')"
    )
    stranger.close()
    connection = apsw.Connection(str(tmp_path / "stranger.db"))
    udfvm.sqlite.register(connection, policy=POLICY)
    assert connection.execute("SELECT count(*), max(size) FROM vm_functions").fetchall() == [
        (5001, 300_000_000)
    ]
    assert connection.execute("SELECT vm_udf('f4999')").fetchall() == [(4999,)]
    assert "the policy of this connection allows 64 KiB" in str(
        attempt(connection, "SELECT vm_udf('large')")
    )
    connection.close()
