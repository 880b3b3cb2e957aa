"""Functions that are stored in the database: created, run, listed, dropped."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from stored_functions import ROWS, created, error_of, opened

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy

SCORE = (
    "def score(delay, distance):\n    return None if distance == 0 else delay / distance * 100\n"
)


Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def query(connection: apsw.Connection) -> Query:
    def run(sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        return connection.execute(sql, bindings).fetchall()

    return run


def test_create_run_list_drop() -> None:
    connection = opened(":memory:")
    assert created(connection, "score", SCORE, "(double, distance double) -> double") == 1
    calls = "vm_udf('score', 12, 300), vm_udf('SCORE', 1, 0), vm_udf('score', NULL, 1)"
    assert connection.execute(f"SELECT {calls}").fetchall() == [(4.0, None, None)]
    [row] = connection.execute(
        "SELECT name, language, signature, size, hash, version, origin FROM vm_functions"
    ).fetchall()
    digest = hashlib.sha256(
        b"python\0(double, distance double) -> double\0\0" + SCORE.encode()
    ).hexdigest()
    assert row == (
        "score",
        "python",
        "(double, distance double) -> double",
        len(SCORE),
        digest,
        1,
        "database",
    )
    [(created_at,)] = connection.execute(
        "SELECT julianday('now') - julianday(created) FROM vm_functions"
    ).fetchall()
    assert 0 <= created_at < 0.1
    assert connection.execute("SELECT vm_drop('Score')").fetchall() == [(1,)]
    assert "no UDF named 'score'" in error_of(connection, "SELECT vm_udf('score', 1, 2)")
    assert "no function 'score'" in error_of(connection, "SELECT vm_drop('score')")
    connection.close()


def test_functions_of_the_program_are_listed_too() -> None:
    @udfvm.udf
    def mine(value: float, text: str | None) -> bytes:
        return b""

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, mine)
    [row] = connection.execute(
        "SELECT name, signature, size, created, origin FROM vm_functions"
    ).fetchall()
    assert row == ("mine", "(value double, text text?) -> blob", None, None, "connection")
    connection.close()


def test_versions(connection: apsw.Connection, query: Query) -> None:
    assert created(connection, "v", "def v(): return 1", "() -> int") == 1
    assert "exists already (version 1)" in error_of(
        connection, "SELECT vm_create('V', 'python', 'def v(): return 2', '() -> int')"
    )
    assert query("SELECT vm_udf('v')") == [(1,)]
    assert created(connection, "v", "def v(): return 2", "() -> int", "replace") == 2
    assert query("SELECT vm_udf('v')") == [(2,)]
    query("SELECT vm_drop('v')")


def test_it_is_transactional(connection: apsw.Connection, query: Query) -> None:
    query("BEGIN")
    created(connection, "t", "def t(): return 1", "() -> int")
    assert query("SELECT vm_udf('t')") == [(1,)]
    query("ROLLBACK")
    assert "no UDF named" in error_of(connection, "SELECT vm_udf('t')")
    created(connection, "t", "def t(): return 1", "() -> int")
    query("SAVEPOINT s")
    created(connection, "t", "def t(): return 2", "() -> int", "replace")
    assert query("SELECT vm_udf('t')") == [(2,)]
    query("ROLLBACK TO s")
    query("RELEASE s")
    assert query("SELECT vm_udf('t'), (SELECT version FROM vm_functions WHERE name = 't')") == [
        (1, 1)
    ]
    query("SELECT vm_drop('t')")


def test_two_connections_see_each_other(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "shared.db"), opened(tmp_path / "shared.db", Policy())
    assert "no UDF named" in error_of(two, "SELECT vm_udf('f')")
    for version in (1, 2, 3):
        assert created(one, "f", f"def f(): return {version}", "() -> int", "replace") == version
        assert two.execute("SELECT vm_udf('f')").fetchall() == [(version,)]
    one.execute("BEGIN")
    created(one, "f", "def f(): return 4", "() -> int", "replace")
    assert two.execute("SELECT vm_udf('f')").fetchall() == [(3,)], (
        "what is not committed is not seen"
    )
    one.execute("COMMIT")
    assert two.execute("SELECT vm_udf('f')").fetchall() == [(4,)]
    one.execute("SELECT vm_drop('f')")
    assert "no UDF named" in error_of(two, "SELECT vm_udf('f')")
    one.close()
    two.close()


def test_two_processes_see_each_other(tmp_path: Path) -> None:
    """The other process is told by lines what to run, and prints rows or the error."""
    other = (
        "import sys, apsw, udfvm.sqlite\n"
        "connection = apsw.Connection(sys.argv[1])\n"
        "udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))\n"
        "for line in sys.stdin:\n"
        "    try: print(connection.execute(line).fetchall(), flush=True)\n"
        "    except apsw.Error as error: print(str(error).splitlines()[0], flush=True)\n"
    )
    mine = opened(tmp_path / "shared.db")
    with subprocess.Popen(
        [sys.executable, "-c", other, str(tmp_path / "shared.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def theirs(sql: str) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(sql + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        create = "SELECT vm_create('f', 'python', 'def f(): return {}', '() -> int', 'replace')"
        assert theirs(create.format(1)) == "[(1,)]"
        assert mine.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
        assert mine.execute(create.format(2)).fetchall() == [(2,)]
        assert theirs("SELECT vm_udf('f')") == "[(2,)]"
        theirs("BEGIN")
        assert theirs(create.format(3)) == "[(3,)]"
        assert mine.execute("SELECT vm_udf('f')").fetchall() == [(2,)], "not committed yet"
        theirs("ROLLBACK")
        assert theirs("SELECT vm_udf('f'), version FROM vm_functions") == "[(2, 2)]"
        assert theirs("SELECT vm_drop('f')") == "[(1,)]"
        assert "no UDF named 'f'" in error_of(mine, "SELECT vm_udf('f')")
        process.stdin.close()
    mine.close()


def test_a_statement_keeps_its_version(connection: apsw.Connection, query: Query) -> None:
    created(connection, "k", "def k(i): return i", "(int) -> int")
    cursor = connection.execute(ROWS.format(40) + "SELECT vm_udf('k', i) FROM n")
    assert next(cursor) == (1,)
    created(connection, "k", "def k(i): return -i", "(int) -> int", "replace")
    assert list(cursor) == [(i,) for i in range(2, 41)]
    assert query("SELECT vm_udf('k', 1)") == [(-1,)]
    query("SELECT vm_drop('k')")


SOURCES = {
    "imports": (
        "import re, json\ndef imports(s): return json.dumps(re.findall('[a-z]+', s))",
        "(text) -> text",
        ("a1b",),
        '["a", "b"]',
    ),
    "helper": ("def h(x): return x + 1\ndef helper(x): return h(h(x))", "(int) -> int", (1,), 3),
    "last_one": ("def a(x): return 1\ndef b(x): return 2", "(int) -> int", (1,), 2),
    "a_class": (
        "class a_class:\n  def __new__(cls, x): return x * 2",
        "(double) -> double",
        (2.5,),
        5.0,
    ),
    "a_lambda": (
        "a_lambda = lambda b, t: len(b) > len(t)",
        "(blob, text) -> bool",
        (b"abc", "ab"),
        1,
    ),
    "null": ("def null(x): return x is None", "(int?) -> bool", (None,), 1),
    "quotes": (
        'def quotes(): return "\\"\\\\\t\u00e9\U0001f40d\x01"',
        "() -> text",
        (),
        '"\\\t\u00e9\U0001f40d\x01',
    ),
    "doc": (
        "def doc(d, k): return {'got': d[k], 'none': None}",
        "(doc json, text) -> json",
        ('{"a": [1, 2.5]}', "a"),
        '{"got":[1,2.5],"none":null}',
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_python_sources(connection: apsw.Connection, query: Query, name: str) -> None:
    source, signature, arguments, expected = SOURCES[name]
    created(connection, name, source, signature)
    marks = ", ?" * len(arguments)
    assert query(f"SELECT vm_udf('{name}'{marks})", *arguments) == [(expected,)]


def test_json_results_have_the_subtype(connection: apsw.Connection, query: Query) -> None:
    created(connection, "pair", "def pair(x): return [x, None]", "(int) -> json")
    assert query(
        "SELECT json_array(vm_udf('pair', 5), 'x'), json_object('k', vm_udf('pair', 6))"
    ) == [('[[5,null],"x"]', '{"k":[6,null]}')]
    created(connection, "nan", "def nan(): return [float('nan')]", "() -> json")
    assert "ValueError" in error_of(connection, "SELECT vm_udf('nan')")
    created(connection, "length", "def length(doc): return len(doc)", "(json) -> int")
    told = error_of(connection, "SELECT vm_udf('length', '{')")
    assert "not valid JSON: Expecting property name" in told
    assert "json/decoder.py" not in told


def test_options(connection: apsw.Connection, query: Query) -> None:
    state = "calls = []\ndef {0}(i):\n    calls.append(i)\n    return len(calls)"
    created(connection, "stateful", state.format("stateful"), "(int) -> int")
    created(connection, "stateless", state.format("stateless"), "(int) -> int", "isolation=row")
    assert query(
        ROWS.format(3) + "SELECT vm_udf('stateful', i), vm_udf('stateless', i) FROM n"
    ) == [(1, 1), (2, 1), (3, 1)]
    clock = "import time, random\ndef f(): return time.time() + random.random()"
    created(connection, "fixed", clock, "() -> double", "deterministic")
    assert query("SELECT vm_udf('fixed')") == query("SELECT vm_udf('fixed')")
    created(
        connection, "named", "def one(): return 1\ndef two(): return 2", "() -> int", "entry=one"
    )
    assert query("SELECT vm_udf('named')") == [(1,)]
    created(
        connection, "short", "def short():\n    while True: pass", "() -> int", "row_timeout=0.2"
    )
    assert "0.2 s" in error_of(connection, "SELECT vm_udf('short')")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("x", "python", "def x(: pass", "() -> int"), "SyntaxError"),
        (
            ("x", "python", "raise RuntimeError('at import')", "() -> int"),
            "RuntimeError: at import",
        ),
        (("x", "python", "y = 1", "() -> int"), "defines no function"),
        (("x", "python", "x = 1", "() -> int"), "not a function"),
        (("x", "python", "def x(): pass", "() -> int", "entry=y"), "does not define 'y'"),
        (
            ("x", "python", "while True: pass", "() -> int"),
            "was not ready within 0.5 s (load_timeout)",
        ),
        (("x", "python", "import os; os._exit(1)", "() -> int"), "exit"),
        (("x", "python", b"\xff\xfe", "() -> int"), "not valid UTF-8"),
        (("x", "python", "def x(): pass\0", "() -> int"), "not valid UTF-8"),
        (("x", "python", "", "() -> int"), "takes name, language, source, signature"),
        (("x", "python", None, "() -> int"), "takes name, language, source, signature"),
        (("x", "python"), "takes name, language, source, signature"),
        (("x", "perl", "x", "() -> int"), "unknown language 'perl'"),
        (("1x", "python", "x", "() -> int"), "cannot be a name"),
        (("vm_x", "python", "x", "() -> int"), "cannot be a name"),
        (("a b", "python", "x", "() -> int"), "cannot be a name"),
        (("x'; DROP TABLE t; --", "python", "x", "() -> int"), "cannot be a name"),
        (("x" * 256, "python", "x", "() -> int"), "cannot be a name"),
        (("x", "python", "def x(): pass", "int"), "expected '('"),
        (("x", "python", "def x(): pass", "(int -> int"), "expected ',' or ')'"),
        (("x", "python", "def x(): pass", "(int,) -> int"), "expected a type"),
        (("x", "python", "def x(): pass", "(a b c) -> int"), "unknown type"),
        (("x", "python", "def x(): pass", "(int) int"), "expected '->'"),
        (("x", "python", "def x(): pass", "() -> thing"), "unknown type 'thing'"),
        (("x", "python", "def x(): pass", "() -> int; SELECT 1"), "expected the end"),
        (
            ("x", "python", "def x(): pass", f"({', '.join(['int'] * 128)}) -> int"),
            "more than 127 parameters",
        ),
        (
            ("x", "python", "def x(): pass", "() -> int", "fast"),
            "'fast' is not an option: they are",
        ),
        (("x", "python", "def x(): pass", "() -> int", "row_timeout=soon"), "row_timeout= takes"),
        (("x", "python", "def x(): pass", "() -> int", 5), "options must be TEXT"),
        (("x", "python", "#" + "x" * 5000, "() -> int"), "allows 4 KiB (max_source)"),
    ],
)
def test_what_cannot_be_created(arguments: tuple[object, ...], expected: str) -> None:
    connection = opened(":memory:", Policy(allow_create=True, load_timeout=0.5, max_source=4096))
    marks = ", ".join("?" * len(arguments))
    assert expected in error_of(connection, f"SELECT vm_create({marks})", *arguments)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchall() == [(0,)], (
        "nothing was left behind"
    )
    connection.close()


@pytest.mark.parametrize(
    "signature",
    [
        "()->int",
        " ( ) -> INTEGER ",
        "(Double,\n\tx text ?)->bool?",
        "(bigint, real, str, bytes, boolean, json) -> float",
    ],
)
def test_signatures(connection: apsw.Connection, signature: str) -> None:
    created(connection, "s", "def s(*_): return None", signature, "replace")


@pytest.mark.parametrize(
    ("source", "signature", "message"),
    [
        ("def f(x): ...", "(int, int) -> int", "takes 1 argument, and its signature has 2 para"),
        ("def f(x, y, z=1): ...", "(int) -> int", "takes 2 to 3 arguments, .* has 1 parameter: "),
        ("def f(): ...", "(int) -> int", "takes 0 arguments, and its signature has 1 parameter: "),
        ("f = lambda x: x", "() -> int", r"<lambda>\(\) takes 1 argument, .* has 0 parameters: "),
    ],
)
def test_a_function_and_its_signature_have_as_many_parameters(
    source: str, signature: str, message: str
) -> None:
    connection = opened(":memory:")
    with pytest.raises(apsw.SQLError, match=f"vm_create: 'f': TypeError: .*{message}"):
        created(connection, "f", source, signature)
    assert connection.execute("SELECT count(*) FROM vm_functions").fetchall() == [(0,)]


@pytest.mark.parametrize("source", ["def f(x, y=2, *, z=3): return x", "def f(*x): return x[0]"])
def test_a_function_may_take_more_than_its_signature_has(source: str) -> None:
    connection = opened(":memory:")
    created(connection, "f", source, "(int) -> int")
    assert connection.execute("SELECT vm_udf('f', 5)").fetchall() == [(5,)]
