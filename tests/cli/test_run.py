"""``udfvm run``: functions of files over rows of files, tables and pipes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_programs import COMMAND, begin, functions_in, run

CSV = 'carrier,dep_delay,distance,code\nUA,12,300,007\n"A, A",3,0,"0\n10"\nB6,,600,1\n'
SCORED = """\
"carrier","dep_delay","distance","code","score"
"UA",12,300,"007",4
"A, A",3,0,"0
10",
"B6",,600,"1",
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces are root's")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return functions_in(tmp_path_factory.mktemp("functions"))


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    path = tmp_path / "flights.csv"
    path.write_text(CSV)
    return path


def wait_until(condition: object, process: subprocess.Popen[str]) -> None:
    assert callable(condition)
    end = time.monotonic() + 200
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


# ---- Places ----


def test_csv_to_csv_keeps_other_columns_as_they_are(mine: Path, flights: Path) -> None:
    done = run("run", f"{mine}:score", flights)
    assert (done.returncode, done.stdout, done.stderr) == (0, SCORED, "")
    target = flights.with_name("scored.csv")
    done = run("run", f"{mine}:score", flights, "-o", target)
    assert done.returncode == 0 and done.stdout.startswith(f"{target}: 3 rows in ")
    assert target.read_text() == SCORED


def test_pipes(mine: Path, flights: Path) -> None:
    done = run("run", f"{mine}:score", input=CSV)
    assert (done.returncode, done.stdout) == (0, SCORED)
    first = run(
        "run", f"{mine}:double", "-", "-c", "distance", "--keep", "carrier", "--format", "arrow",
        stdin=flights.open("rb"), text=False,
    )  # fmt: skip
    # --format is that of both: CSV is no stream of Arrow.
    assert first.returncode == 1 and b"standard input" in first.stderr
    first = run(
        "run", f"{mine}:double", flights, "-c", "distance", "--keep", "carrier", "--format",
        "arrow", text=False,
    )  # fmt: skip
    table = pa.ipc.open_stream(first.stdout).read_all()
    assert table.to_pydict() == {
        "carrier": ["UA", "A, A", "B6"],
        "double": [600.0, 0.0, 1200.0],
    }
    second = run(
        "run", f"{mine}:double", "-c", "double", "--name", "more", "--keep-none",
        input=first.stdout, text=False,
    )  # fmt: skip
    assert pa.ipc.open_stream(second.stdout).read_all().to_pydict() == {
        "more": [1200.0, 0.0, 2400.0]
    }
    third = run(
        "run", f"{mine}:double", "-", "-o", flights.with_suffix(".arrow"), "-c", "x=double",
        "--keep-none", input=first.stdout, text=False,
    )  # fmt: skip
    assert third.returncode == 0, third.stderr
    read = run("run", f"{mine}:double", flights.with_suffix(".arrow"), "-c", "double",
               "--name", "y", "--keep-none", "--format", "csv")  # fmt: skip
    assert read.stdout == '"y"\n2400\n0\n4800\n'


def test_tables(mine: Path, flights: Path, tmp_path: Path) -> None:
    app = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(app)) as con:
        con.execute("CREATE TABLE flights (carrier, dep_delay, distance, note)")
        con.executemany(
            "INSERT INTO flights VALUES (?, ?, ?, ?)",
            [("UA", 12, 300, b"\0"), ("AA", 3.5, 0, None), (None, None, 600, b"x")],
        )
        con.execute("CREATE VIEW slow AS SELECT * FROM flights WHERE dep_delay > 10")
        con.commit()
    done = run("run", f"{mine}:score", f"{app}::flights", "-o", f"{app}::scores", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["failed"], told["output"]) == (3, 0, f"{app}::scores")
    with contextlib.closing(sqlite3.connect(app)) as con:
        rows = con.execute("SELECT *, typeof(distance) FROM scores").fetchall()
    assert rows == [
        ("UA", 12.0, 300, b"\0", 4.0, "integer"),
        ("AA", 3.5, 0, None, None, "integer"),
        (None, None, 600, b"x", None, "integer"),
    ]
    again = run("run", f"{mine}:score", f"{app}::slow", "-o", f"{app}::scores")
    assert again.returncode == 1 and "scores exists already, a table: pass --r" in again.stderr
    again = run("run", f"{mine}:score", f"{app}::slow", "-o", f"{app}::scores", "--replace")
    assert again.returncode == 0
    with contextlib.closing(sqlite3.connect(app)) as con:
        assert con.execute("SELECT count(*) FROM scores").fetchall() == [(1,)]
    wrong = run("run", f"{mine}:score", f"{app}::nothing")
    assert wrong.returncode == 1
    assert "has no table 'nothing'; it has 'flights', 'scores', 'slow'" in wrong.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["app.db", "flights.csv"]


def test_a_column_of_several_types_says_what_to_do(mine: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as con:
        con.execute("CREATE TABLE t (x, y)")
        con.execute("INSERT INTO t VALUES (1, 'a'), (2, 3)")
        con.commit()
    done = run("run", f"{mine}:inverse", f"{tmp_path / 'app.db'}::t")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "column 'y' has values of several types, integer, text: make a view" in done.stderr


def test_types_of_results_in_tables(tmp_path: Path) -> None:
    source = tmp_path / "all.py"
    source.write_text(
        "import datetime, decimal\n"
        "def made(day: str) -> datetime.date:\n    return datetime.date.fromisoformat(day)\n"
        "def later(day: datetime.date) -> dict:\n    return {'year': day.year}\n"
        "def is_late(late: bool) -> bool:\n    return not late\n"
    )
    app = tmp_path / "app.db"
    days = tmp_path / "days.csv"
    days.write_text("day,late\n2026-01-02,true\n")
    for function, place, table in (
        ("made", days, "a"), ("later", f"{app}::a", "b"), ("is_late", f"{app}::b", "c")
    ):  # fmt: skip
        columns = ["-c", "made"] if function == "later" else []
        done = run("run", f"{source}:{function}", place, "-o", f"{app}::{table}", *columns)
        assert done.returncode == 0, done.stderr
    with contextlib.closing(sqlite3.connect(app)) as con:
        assert con.execute("SELECT * FROM c").fetchall() == [
            ("2026-01-02", 1, "2026-01-02", '{"year":2026}', 0)
        ]


# ---- Functions ----


def test_the_page_on_the_command_line_runs(flights: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "command_line.md").read_text()
    (text,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    flights.with_name("score.py").write_text(text)
    run("run", "score.py:score", "flights.csv", "-o", "flights.parquet", "--name", "old",
        cwd=flights.parent)  # fmt: skip
    flights.with_name("double.py").write_text("def double(x: float) -> float: return 2 * x\n")
    page = page.partition("## Errors and exit codes")[0]  # those there fail
    commands = re.findall(r"^\$ udfvm (run|sql|bench) ((?:.*\\\n)?.*)", page, flags=re.MULTILINE)
    assert len(commands) == 7
    app = flights.with_name("app.db")
    run("run", "score.py:score", "flights.csv", "-o", f"{app}::flights", "--name", "old",
        cwd=flights.parent)  # fmt: skip
    for command, rest in commands:
        arguments = shlex.split(rest.replace("\\\n", "").partition(" |")[0].partition(" <")[0])
        arguments += ["--seconds", "0.01"] if command == "bench" else []
        if arguments[0] == "double.py:double":
            arguments[3:] = ["distance"]
        done = run(command, *arguments, cwd=flights.parent, input=CSV)
        assert done.returncode == 0, (command, arguments, done.stderr)


def test_jailed_micro_vms(mine: Path, flights: Path) -> None:
    done = run("run", f"{mine}:score", flights, "--jail", "--no-files")
    assert (done.returncode, done.stdout) == (0, SCORED), done.stderr


def test_forms_and_defaults(mine: Path, flights: Path) -> None:
    done = run("run", f"{mine}:words", flights, "-c", "carrier", "--keep-none")
    assert done.stdout == '"word"\n"UA"\n"A,"\n"A"\n"B6"\n'
    done = run("run", f"{mine}:Total", flights, "-c", "distance")
    assert (done.returncode, done.stdout) == (0, "900\n")
    done = run("run", f"{mine}:Total", flights, "-c", "x=distance", "--json")
    assert json.loads(done.stdout)["value"] == 900 and json.loads(done.stdout)["rows"] == 3
    done = run("run", f"{mine}:speed", flights, "--keep-none")
    assert done.stdout == '"speed"\n150\n0\n300\n'  # and what it prints is no data
    assert done.stderr == "speed of 300.0\nspeed of 0.0\nspeed of 600.0\n"


def test_a_signature_is_given_where_the_text_tells_none(tmp_path: Path) -> None:
    source, data = tmp_path / "plain.py", tmp_path / "x.csv"
    source.write_text("def twice(x):\n    return 2 * x\n")
    data.write_text("x\na\n")
    done = run("run", source, data)
    assert done.returncode == 1
    assert (
        "parameter 'x' has no type in the text that udfvm knows: annotate it with one"
        in done.stderr
    )
    done = run("run", source, data, "--signature", "(text) -> text", "--keep-none")
    assert done.stdout == '"twice"\n"aa"\n'


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("mine.py", "has 7 functions, score, double, speed, words, Total, inverse and too_long:"),
        ("mine.py:scor", "defines no function 'scor': did you mean score?"),
        ("nowhere.py:f", "cannot be read: No such file or directory"),
        ("mine.py:too_long", "asks for timeout=300, which is more than a file may have: pass --t"),
    ],
    ids=["no name", "other name", "no file", "limit"],
)
def test_what_is_no_function_is_told(mine: Path, flights: Path, target: str, wanted: str) -> None:
    done = run("run", mine.with_name(target.partition(":")[0]).as_posix()
               + target[len(target.partition(":")[0]):], flights)  # fmt: skip
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert wanted in done.stderr


def test_the_command_allows_more_than_a_file_may_have(mine: Path, tmp_path: Path) -> None:
    data = tmp_path / "x.csv"
    data.write_text("x\n1\n")
    done = run("run", f"{mine}:too_long", data, "--timeout", "300", "--keep-none")
    assert (done.returncode, done.stdout) == (0, '"endless"\n1\n')


# ---- Failures ----


def test_rows_that_fail(mine: Path, tmp_path: Path) -> None:
    data = tmp_path / "x.csv"
    data.write_text("x\n1\n0\n2\n")
    done = run("run", f"{mine}:inverse", data)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("udfvm: UDF 'inverse', row 1: ZeroDivisionError: division by zero (line")
    done = run("run", f"{mine}:inverse", data, "--json", "-o", tmp_path / "y.csv")
    told = json.loads(done.stderr)
    assert (told["error"], told["udf"], told["row"]) == ("UDFError", "inverse", 1)
    assert not (tmp_path / "y.csv").exists()
    done = run("run", f"{mine}:inverse", data, "--on-error", "skip")
    assert (done.returncode, done.stdout) == (3, '"x","inverse"\n1,1\n2,0.5\n')
    assert done.stderr.startswith("udfvm: UDF 'inverse': 1 of 3 rows failed and were left out;")
    done = run("run", f"{mine}:inverse", data, "--on-error", "null", "-o", tmp_path / "z.parquet",
               "--json")  # fmt: skip
    assert done.returncode == 3 and json.loads(done.stdout)["failed"] == 1
    assert pq.read_table(tmp_path / "z.parquet")["inverse"].to_pylist() == [1.0, None, 0.5]


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("", [], "Empty CSV file"),
        ("x\nno\n", [], "row 0, column 'x': CSV conversion error to int64: invalid value 'no': "),
        ("x,y\n1,2\n3\n", [], "row 1: Expected 2 columns, got 1"),
        ("y\n1\n", [], "there is no column for parameter 'x': pass -c x=COLUMN; the source has"),
        ("x,inverse\n1,2\n", [], "leave it out by --keep, or pass --name"),
        ("x\n1\n", ["--keep", "z"], "--keep names 'z', and the source has no column of that"),
        ("x\n1\n", ["--name", "a b"], "which is an identifier: pass --name, such as 'a_b'"),
        ("x,x\n1,1\n", [], "which one is meant: give them names of their own; it has 'x', 'x'"),
        ("x\n1\n", ["--text", "z"], "it has no column 'z'; it has x"),
    ],
    ids=["empty", "type", "ragged", "column", "name", "keep", "word", "doubled", "text"],
)
def test_data_that_do_not_fit(mine: Path, text: str, options: list[str], wanted: str) -> None:
    done = run("run", f"{mine}:inverse", *options, input=text)
    assert done.returncode == 1 and done.stdout == "" and wanted in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_types_that_change_are_read_as_text(mine: Path, tmp_path: Path) -> None:
    data, target = tmp_path / "x.csv", tmp_path / "y.parquet"
    count = 300_000
    data.write_text("x,y\n" + "1,1\n" * count + "1,odd\n")
    done = run("run", f"{mine}:inverse", data, "-o", target)
    assert done.returncode == 1 and "read the column as text by --text COLUMN" in done.stderr
    assert f"{data}: row {count}, column 'y': " in done.stderr
    assert not list(tmp_path.glob("*y.parquet*"))
    done = run("run", f"{mine}:inverse", data, "-o", target, "--text", "y")
    assert done.returncode == 0, done.stderr
    assert pq.read_table(target)["y"].to_pylist()[-2:] == ["1", "odd"]


def test_outputs_that_exist_stay_unless_they_are_replaced(mine: Path, tmp_path: Path) -> None:
    data, target = tmp_path / "x.csv", tmp_path / "y.csv"
    data.write_text("x\n0\n")
    target.write_text("old")
    done = run("run", f"{mine}:inverse", data, "-o", target)
    assert done.returncode == 1 and "y.csv exists already: pass --replace" in done.stderr
    done = run("run", f"{mine}:inverse", data, "-o", target, "--replace")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert target.read_text() == "old"
    data.write_text("x\n1\n")
    assert run("run", f"{mine}:inverse", data, "-o", data, "--replace").returncode == 0
    assert data.read_text() == '"x","inverse"\n1,1\n'


# ---- The end of a command ----


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "udfvm: interrupted\n"),
        (signal.SIGTERM, 143, "udfvm: terminated\n"),
        (signal.SIGHUP, 143, "udfvm: terminated\n"),
    ],
)
@pytest.mark.parametrize("output", ["y.parquet", "y.db::t"])
def test_a_command_that_is_ended_leaves_nothing(
    mine: Path, tmp_path: Path, number: signal.Signals, code: int, said: str, output: str
) -> None:
    data = tmp_path / "x.csv"
    data.write_text("x\n1\n")
    process = begin("run", f"{mine}:endless", data, "--timeout", 250, "-o", tmp_path / output)
    wait_until(lambda: list(tmp_path.glob(".y.*")), process)
    process.send_signal(number)
    assert process.communicate(timeout=100) == (None, said)
    assert process.returncode == code
    assert [each.name for each in tmp_path.iterdir()] == ["x.csv"]


def test_ctrl_c_while_nothing_comes(mine: Path) -> None:
    with begin("run", f"{mine}:inverse", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdin is not None and one.stdout is not None
        one.stdin.write("x\n" + "1\n" * 100_000)
        one.stdin.flush()
        assert one.stdout.readline() == '"x","inverse"\n'
        one.send_signal(signal.SIGINT)
        assert one.wait(100) == 130
        with contextlib.suppress(BrokenPipeError):
            one.stdin.close()


def test_nobody_reads_the_output_any_more(mine: Path, tmp_path: Path) -> None:
    data = tmp_path / "x.csv"
    data.write_text("x\n" + "1\n" * 200_000)
    with begin("run", f"{mine}:inverse", data, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == '"x","inverse"\n'
        process.stdout.close()
        assert process.wait(200) == 141 and process.stderr.read() == ""


def test_a_full_disk(mine: Path, tmp_path: Path) -> None:
    data = tmp_path / "x.csv"
    data.write_text("x\n1\n")
    with open("/dev/full", "w") as full:
        done = run("run", f"{mine}:inverse", data, capture_output=False, stdout=full,
                   stderr=subprocess.PIPE)  # fmt: skip
    assert done.returncode == 1 and done.stderr == "udfvm: No space left on device\n"


@needs_root
@pytest.mark.parametrize("output", ["y.csv", "y.db::t"])
def test_a_full_disk_has_no_half_of_a_file(mine: Path, tmp_path: Path, output: str) -> None:
    data, small = tmp_path / "x.csv", tmp_path / "small"
    data.write_text("x,y\n" + f"1,{'y' * 1000}\n" * 3000)
    small.mkdir()
    command = f'mount -t tmpfs -o size=1m none {small} && "$@"; code=$?; ls -A {small}; exit $code'
    arguments = ["run", f"{mine}:inverse", data, "-o", small / output]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", *COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr or "full" in done.stderr
