"""Functions that live in the database: creating, running, dropping them, and what a policy and a
hostile database do.
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
SCORE = (
    "def score(delay, distance):\n    return None if distance == 0 else delay / distance * 100\n"
)
MAKER = Policy(allow_create=True)

Query = Callable[..., list[tuple[Any, ...]]]


def opened(path: Path | str, policy: Policy | None = MAKER) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    udfvm.sqlite.register(connection, policy=policy)
    return connection


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = opened(":memory:")
    yield connection
    connection.close()


@pytest.fixture
def query(connection: apsw.Connection) -> Query:
    def run(sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        return connection.execute(sql, bindings).fetchall()

    return run


def created(
    connection: apsw.Connection, name: str, source: str, signature: str, *options: str
) -> int:
    marks = ", ?" * len(options)
    [(version,)] = connection.execute(
        f"SELECT vm_create(?, 'python', ?, ?{marks})", (name, source, signature, *options)
    ).fetchall()
    return version


def error_of(connection: apsw.Connection, sql: str, *bindings: object) -> str:
    with pytest.raises(apsw.Error) as caught:
        connection.execute(sql, bindings).fetchall()
    assert connection.execute("SELECT 7").fetchall() == [(7,)], "the connection stays usable"
    return str(caught.value)


# ---- Creating and running ----


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
        (("x", "python", "def x(): pass", "() -> int", "entry=y"), "defines no 'y'"),
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
        (("x", "python", "def x(): pass", "() -> thing"), "unknown type of the result"),
        (("x", "python", "def x(): pass", "() -> int; SELECT 1"), "expected the end"),
        (
            ("x", "python", "def x(): pass", f"({', '.join(['int'] * 128)}) -> int"),
            "more than 127 parameters",
        ),
        (("x", "python", "def x(): pass", "() -> int", "fast"), "there are the options"),
        (("x", "python", "def x(): pass", "() -> int", "row_timeout=soon"), "row_timeout= takes"),
        (("x", "python", "def x(): pass", "() -> int", 5), "options are TEXT"),
        (("x", "python", "#" + "x" * 5000, "() -> int"), "allows 4096"),
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


# ---- Policy ----


def test_without_a_policy_nothing_stored_runs(tmp_path: Path) -> None:
    maker = opened(tmp_path / "a.db")
    created(maker, "f", "def f(): return 1", "() -> int")
    maker.close()
    connection = opened(tmp_path / "a.db", None)
    assert "no UDF named 'f'" in error_of(connection, "SELECT vm_udf('f')")
    assert "does not allow it" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    assert "does not allow it" in error_of(connection, "SELECT vm_drop('f')")
    assert "cannot change it" in error_of(connection, "SELECT vm_policy('allow_create', 1)")
    assert connection.execute(
        "SELECT vm_policy('allow_create'), vm_policy('languages')"
    ).fetchall() == [(0, "")]
    udfvm.sqlite.register(connection, policy=Policy())
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "does not allow it" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    udfvm.sqlite.register(connection, policy=Policy(languages=["wasm"]))
    assert "does not allow functions of language 'python'" in error_of(
        connection, "SELECT vm_udf('f')"
    )
    connection.close()


def test_limits_of_the_policy() -> None:
    policy = Policy(allow_create=True, row_timeout=0.2, max_output=1000)
    connection = opened(":memory:", policy)
    created(connection, "loop", "def loop():\n    while True: pass", "() -> int", "row_timeout=100")
    assert "0.2 s" in error_of(connection, "SELECT vm_udf('loop')")
    created(connection, "big", "def big(n): return 'x' * n", "(int) -> text")
    assert "limit of 1000 bytes" in error_of(connection, "SELECT vm_udf('big', 2000)")
    created(
        connection,
        "files",
        "def files(): return len(open('/usr/lib/os-release').read())",
        "() -> int",
    )
    assert "Error" in error_of(connection, "SELECT vm_udf('files')")
    connection.close()


def test_modules_are_what_the_policy_gives() -> None:
    connection = opened(":memory:", Policy(allow_create=True))
    source = "import xml.dom.minidom\ndef f(): return 1"
    assert "ModuleNotFoundError" in error_of(
        connection, "SELECT vm_create('f', 'python', ?, '() -> int')", source
    )
    connection.close()
    connection = opened(":memory:", Policy(allow_create=True, packages=["xml.dom.minidom"]))
    assert created(connection, "f", source, "() -> int") == 1
    connection.close()


@pytest.mark.parametrize(
    "options",
    [
        {"languages": ["perl"]},
        {"row_timeout": 0},
        {"idle_spin": 2},
        {"statement_timeout": -1},
        {"load_timeout": 1e-9},
        {"max_source": 0},
        {"memory": "1KiB"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_policies_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(udfvm.Error, match="Policy: "):
        Policy(**options)


def test_names_of_the_program_go_before_those_of_the_database(tmp_path: Path) -> None:
    @udfvm.udf
    def f() -> int:
        return 1

    connection = opened(tmp_path / "a.db")
    created(connection, "f", "def f(): return 666", "() -> int")
    udfvm.sqlite.register(connection, f)
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "goes before" in error_of(
        connection, "SELECT vm_create('F', 'python', 'def f(): return 1', '() -> int', 'replace')"
    )
    connection.close()


def test_statement_timeout() -> None:
    connection = opened(":memory:", Policy(allow_create=True, statement_timeout=0.4))
    created(connection, "doze", "import time\ndef doze(s): time.sleep(s)", "(double) -> int")
    connection.execute("SELECT vm_udf('doze', 0.01)").fetchall()
    for seconds in (0.01, 100.0):
        started = time.monotonic()
        assert "did not end within 0.4 s" in error_of(
            connection, ROWS.format(1000) + f"SELECT vm_udf('doze', {seconds}) FROM n"
        )
        assert time.monotonic() - started < 60
    connection.close()


def test_idle_spin_of_nothing_makes_every_row_an_exit() -> None:
    connection = opened(":memory:", Policy(allow_create=True, idle_spin=0))
    created(connection, "same", "def same(i): return i", "(int) -> int")
    threads = threading.active_count()
    assert connection.execute(
        ROWS.format(100) + "SELECT sum(vm_udf('same', i)) FROM n"
    ).fetchall() == [(5050,)]
    assert threading.active_count() == threads
    connection.close()


# ---- Hostile databases ----

TABLE = (
    "CREATE TABLE udfvm_functions (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, language TEXT NOT"
    " NULL, signature TEXT NOT NULL, options TEXT NOT NULL, source BLOB NOT NULL, version INTEGER"
    " NOT NULL, created TEXT NOT NULL)"
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            (
                "CREATE VIEW udfvm_functions(name, language, signature, options, source) AS VALUES"
                " ('f', 'python', '() -> int', '', 'x')"
            ),
            "no UDF",
        ),
        (
            (
                "CREATE VIRTUAL TABLE udfvm_functions USING fts5(name, language, signature,"
                " options, source)"
            ),
            "no UDF",
        ),
        ("CREATE TABLE udfvm_functions (name, lonely)", "no such column"),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', x'00', '() -> int', '', 'x',"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', zeroblob(100000), '',"
                " 'x', 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '', 5,"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '', x'',"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '(((', '', 'x', 1, '')",
            "its signature",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int',"
                " 'entry=\"}', 'x', 1, '')"
            ),
            "its options",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '',"
                " 'import os; os.abort()', 1, '')"
            ),
            "ABRT|signal",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '',"
                " zeroblob(20000000), 1, '')"
            ),
            "allows",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'native', '() -> int', '',"
                " x'7f454c46', 1, '')"
            ),
            "ImportError",
        ),
    ],
)
def test_hostile_tables(tmp_path: Path, sql: str, expected: str) -> None:
    stranger = apsw.Connection(str(tmp_path / "stranger.db"))
    stranger.execute(sql)
    stranger.close()
    connection = opened(tmp_path / "stranger.db")
    with pytest.raises(apsw.Error, match=expected):
        connection.execute("SELECT vm_udf('f')").fetchall()
    if "lonely" not in sql:
        connection.execute("SELECT * FROM vm_functions").fetchall()
    if "CREATE TABLE" not in sql:
        assert "no ordinary table" in error_of(
            connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
        )
    connection.close()


@pytest.mark.parametrize(
    "use",
    [
        "vm_udf('f')",
        "vm_create('g', 'python', 'def g(): return 1', '() -> int')",
        "vm_drop('f')",
        "vm_policy('languages')",
        "vm_attach('f')",
        "(SELECT name FROM vm_functions)",
    ],
)
def test_a_schema_can_use_none_of_it(tmp_path: Path, use: str) -> None:
    connection = opened(tmp_path / "stranger.db")
    created(connection, "f", "def f(): return 1", "() -> int")
    connection.execute("CREATE TABLE t(a)")
    connection.execute(f"CREATE VIEW v AS SELECT {use} AS x")
    connection.execute(f"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT {use}; END")
    assert "unsafe use of" in error_of(connection, "SELECT * FROM v")
    assert "unsafe use of" in error_of(connection, "INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    connection.close()


def test_a_database_that_may_not_be_written(tmp_path: Path) -> None:
    maker = opened(tmp_path / "a.db")
    created(maker, "f", "def f(): return 1", "() -> int")
    maker.close()
    connection = apsw.Connection(str(tmp_path / "a.db"), flags=apsw.SQLITE_OPEN_READONLY)
    udfvm.sqlite.register(connection, policy=MAKER)
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "readonly" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    connection.close()


def test_the_table_is_an_ordinary_one(tmp_path: Path) -> None:
    connection = opened(tmp_path / "a.db")
    created(connection, "f", "def f(): return 1", "() -> int")
    connection.close()
    plain = sqlite3.connect(tmp_path / "a.db")
    plain.execute(
        "UPDATE udfvm_functions SET source = replace(source, '1', '2'), version = version + 1"
    )
    plain.commit()
    plain.close()
    connection = opened(tmp_path / "a.db")
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(2,)]
    connection.close()
