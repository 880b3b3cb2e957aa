"""``udfvm sql`` and ``udfvm bench``: functions of files in SQL, and measured."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from command_programs import begin, functions_in, run


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return functions_in(tmp_path_factory.mktemp("functions"))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE flights (carrier, dep_delay, distance)")
        con.executemany(
            "INSERT INTO flights VALUES (?, ?, ?)", [("UA", 12.0, 300.0), ("A,\x1bA", 3.0, 0.0)]
        )
        con.commit()
    return path


QUERY = "SELECT carrier, score(dep_delay, distance) AS s FROM flights ORDER BY 1 DESC"


def test_functions_of_a_file_in_sql(mine: Path, app: Path) -> None:
    done = run("sql", app, QUERY, "--functions", f"{mine}:score")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'carrier,s\nUA,4.0\n"A,\x1bA",\n'
    done = run("sql", app, QUERY, "--functions", f"{mine}:score", "--json")
    assert json.loads(done.stdout) == [
        {"carrier": "UA", "s": 4.0},
        {"carrier": "A,\x1bA", "s": None},
    ]
    assert "\x1b" not in done.stdout
    done = run("sql", app, input=QUERY, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 1 and done.stderr == (
        "udfvm: no such function: score: pass --functions FILE.py if a file defines it\n"
    )


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT scor(1, 2)", "no such function: scor: did you mean score?"),
        ("SELECT other(1, 2)", "no such function: other: the files define score and domain"),
        ("SELECT loose(1)", ".py does not tell its types: annotate them"),
        ("SELECT score(1)", "wrong number of arguments to function score()"),
    ],
)
def test_functions_that_sql_does_not_find(tmp_path: Path, query: str, wanted: str) -> None:
    source = tmp_path / "loose.py"
    source.write_text(
        "def score(x: int, y: int) -> int: return x\ndef domain(x: str) -> str: return x\n"
        "def loose(x): return x\n"
    )
    done = run("sql", ":memory:", query, "--functions", source)
    assert done.returncode == 1 and done.stderr.endswith(f"{wanted}\n"), done.stderr


def test_all_functions_of_a_file(tmp_path: Path) -> None:
    source = tmp_path / "forms.py"
    source.write_text(
        "import udfvm\n@udfvm.table_function(columns={'word': str})\ndef words(text: str):\n"
        "    yield from text.split()\n"
        "@udfvm.aggregate\nclass Longest:\n    def __init__(self):\n        self.found = ''\n"
        "    def step(self, word: str) -> None:\n"
        "        self.found = max(self.found, word, key=len)\n"
        "    def finish(self) -> str:\n        return self.found\n"
        "def not_declared(x: int) -> int: return x\n"
    )
    plain = tmp_path / "plain.py"
    plain.write_text(
        "def double(x: int) -> int:\n    print('doubled')\n    return 2 * x\n"
        "def _own(x: int) -> int: return x\ndef untyped(x): return x\n"
    )
    query = "SELECT longest(word) AS w, double(21) AS d FROM words('to be question')"
    done = run("sql", ":memory:", query, "--functions", source, "--functions", plain)
    assert (done.stdout, done.stderr) == ("w,d\nquestion,42\n", "doubled\n")
    for name in ("not_declared", "_own", "untyped"):
        done = run("sql", ":memory:", f"SELECT {name}(1)", "--functions", source,
                   "--functions", plain)  # fmt: skip
        assert done.stderr.startswith(f"udfvm: no such function: {name}: the ")
    plain.write_text("x = 1\n")
    done = run("sql", ":memory:", "SELECT 1", "--functions", plain)
    assert done.returncode == 1 and "declares no function: decorate one with" in done.stderr


def test_values_and_statements() -> None:
    text = (
        "CREATE TABLE t (x); SELECT * FROM t; INSERT INTO t VALUES (x'00ff'), (9e999), (NULL);"
        " SELECT x, x FROM t; SELECT 1 AS one"
    )
    done = run("sql", ":memory:", text, "--write", "--json")
    assert json.loads(done.stdout) == [
        {"x": "AP8=", "x:1": "AP8="},
        {"x": float("inf"), "x:1": float("inf")},
        {"x": None, "x:1": None},
        {"one": 1},
    ]
    done = run("sql", ":memory:", text, "--write", "--format", "csv")
    assert done.stdout == "x\nx,x\n00ff,00ff\ninf,inf\n,\none\n1\n"
    assert run("sql", ":memory:", "SELECT 1 WHERE 0", "--json").stdout == "[]\n"
    assert run("sql", ":memory:", "", "--json").stdout == "[]\n"


def test_a_table_on_a_terminal_shows_no_escapes(app: Path) -> None:
    ours, theirs = os.openpty()
    done = run("sql", app, "SELECT carrier, 1 AS n FROM flights", capture_output=False,
               stdout=theirs, stderr=subprocess.PIPE)  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and "A,\\x1bA" in shown and "\x1bA" not in shown


def test_a_database_is_changed_only_where_that_is_asked_for(app: Path) -> None:
    done = run("sql", app, "DELETE FROM flights")
    assert done.returncode == 1
    assert done.stderr.endswith(": pass --write to let SQL change the database\n")
    assert run("sql", app, "DELETE FROM flights WHERE distance = 0", "--write").returncode == 0
    assert run("sql", app, "SELECT count(*) AS n FROM flights").stdout == "n\n1\n"
    absent = app.with_name("absent.db")
    done = run("sql", absent, "SELECT 1")
    assert done.returncode == 1 and "there is no such database" in done.stderr
    assert not absent.exists()
    assert run("sql", absent, "CREATE TABLE t (x)", "--write").returncode == 0 and absent.exists()


def test_a_schema_calls_no_functions(mine: Path, app: Path) -> None:
    with contextlib.closing(sqlite3.connect(app)) as con:
        con.execute("CREATE VIEW v AS SELECT score(dep_delay, distance) AS s FROM flights")
        con.commit()
    done = run("sql", app, "SELECT * FROM v", "--functions", f"{mine}:score")
    assert done.returncode == 1 and "unsafe use of score()" in done.stderr


def test_failures_in_sql(mine: Path, app: Path) -> None:
    done = run("sql", app, "SELECT inverse(0)", "--functions", mine, "--json", "--timeout", 300)
    told = json.loads(done.stderr)
    assert done.returncode == 1 and (told["error"], told["udf"]) == ("UDFError", "inverse")
    assert "ZeroDivisionError: division by zero (line " in told["message"]
    done = run("sql", app, "SELEC 1")
    assert (done.returncode, done.stderr) == (1, 'udfvm: near "SELEC": syntax error\n')
    text = app.with_name("text.db")
    text.write_text("no database, but text that is long enough to be taken for one" * 20)
    done = run("sql", text, "SELECT 1")
    assert done.returncode == 1 and "is no database that can be opened" in done.stderr


def test_ctrl_c_in_sql(mine: Path, app: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with begin("sql", app, endless, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == "i\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=100)
        assert (process.returncode, said) == (130, "udfvm: interrupted\n")
    with begin("sql", app, f"SELECT count(*) FROM ({endless})", stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)  # nothing tells that it has begun; either way it ends
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == 130
    with begin("sql", app, endless, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == "i\n"
        process.stdout.close()
        assert process.wait(100) == 141


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("score", ["--arguments", "[12.0, 300]"]),
        ("double", []),
        ("words", ["--arguments", '["to be"]']),
        ("Total", []),
        ("inverse", []),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_bench(mine: Path, function: str, options: list[str]) -> None:
    done = run("bench", f"{mine}:{function}", *options, "--rows", 100, "--seconds", 0.05, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 100 and found["rows_per_second"] > 0 and found["calls"] > 0
    for name in ("call_us", "exit_us"):
        assert 0 < found[name]["p50"] <= found[name]["p99"]
    assert found["ratio"] == found["call_us"]["p50"] / found["exit_us"]["p50"]
    assert list(found["phases_us"]) == ["host", "copy", "guest", "restore"]
    assert all(each > 0 for each in found["phases_us"].values())


def test_bench_for_people(mine: Path, tmp_path: Path) -> None:
    done = run("bench", f"{mine}:score", "--rows", 10, "--seconds", 0.01)
    labels = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    assert labels == ["Function", "Image", "Fresh call", "Phases", "Bare exit", "Ratio", "Batch"]
    dates = tmp_path / "dates.py"
    dates.write_text(
        "import datetime\ndef year(day: datetime.date, tags: list[str], how: bytes) -> int:\n"
        "    return day.year\ndef fails(x: int) -> float:\n    return 1 / (x - 1)\n"
    )
    for options in ([], ["--arguments", '["2026-01-02", ["a"], "x"]']):
        done = run("bench", f"{dates}:year", "--rows", 10, "--seconds", 0.01, *options)
        assert done.returncode == 0, done.stderr
    for options, code, wanted in (
        (["--arguments", "[1]"], 2, "a value for each of: day, tags, how"),
        (["--arguments", "{"], 2, "--arguments is no JSON"),
        (["--arguments", '["never", [], ""]'], 1, "has 'never' for 'day', which is no date32"),
        (["--rows", "0"], 2, "--rows 0: at least 1"),
    ):
        done = run("bench", f"{dates}:year", *options)
        assert done.returncode == code and wanted in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = run("bench", f"{dates}:fails")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert len(done.stderr.splitlines()) == 1
