"""The extension in the ``sqlite3`` shell, where there is no Python: functions sealed by a command,
functions stored in databases.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_files import ALL_KINDS, put, remove

import udfvm.sqlite
from udfvm.cli import commands
from udfvm.images.cache import prune
from udfvm.images.cache_files import cache_directory

SOURCE = """
import udfvm

@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100

@udfvm.udf(deterministic=True)
def shout(text: str) -> str:
    return text.upper()

_seen = []

@udfvm.udf(isolation="row")
def alone(value: int) -> int:
    _seen.append(value)
    return len(_seen)

@udfvm.udf
def count(value: int) -> int:
    _seen.append(value)
    return len(_seen)

@udfvm.udf(timeout=0.3)
def endless(value: int) -> int:
    while True:
        pass

@udfvm.udf
def noisy(value: int) -> int:
    print("said\x1b", value)
    return value

@udfvm.udf
def picky(value: int) -> int:
    if value == 50:
        raise ValueError("fifty")
    return value
"""
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "

Shell = Callable[..., str]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file whose functions were sealed, and the Python runtime prepared, by the commands that
    users have.
    """
    file = tmp_path_factory.mktemp("sealed") / "functions.py"
    file.write_text(SOURCE)
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code == 0, done.output
    assert "score(dep_delay double, distance double) -> double" in done.output
    assert CliRunner().invoke(commands, ["prepare"]).exit_code == 0
    return file


@pytest.fixture
def shell(sealed: Path) -> Shell:
    program = shutil.which("sqlite3")
    assert program is not None, "the sqlite3 shell is needed: apt-get install sqlite3"

    def run(*commands_: str, database: str = ":memory:", fails: bool = False) -> str:
        lines = "\n".join((f".load {udfvm.sqlite.EXTENSION}", *commands_))
        environment = {"PATH": "/nowhere", "UDFVM_CACHE": os.environ["UDFVM_CACHE"]}
        done = subprocess.run(
            [program, "-bail", database],
            input=lines,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr.strip() if fails else done.stdout.strip()

    return run


def test_sealed_functions_are_found_by_name(shell: Shell) -> None:
    assert (
        shell(
            "SELECT vm_udf('score', 12, 300), vm_udf('shout', 'naïve'), vm_udf('score', 1, 0) IS"
            " NULL;"
        )
        == "4.0|NAÏVE|1"
    )


def test_attached_functions_have_their_own_name(shell: Shell) -> None:
    assert shell("SELECT vm_attach('score');", "SELECT score(12, 300);") == "score\n4.0"
    assert "no function of that name was sealed" in shell("SELECT vm_attach('nobody');", fails=True)
    assert "cannot be opened: No such file" in shell(
        "SELECT vm_attach('../functions/score');", fails=True
    )


def test_calls_are_what_they_are_in_python(shell: Shell) -> None:
    assert (
        shell(NUMBERS + "SELECT max(vm_udf('count', i)), max(vm_udf('alone', i)) FROM n;")
        == "100|1"
    )
    assert shell("SELECT vm_udf('count', 1);", "SELECT vm_udf('count', 1);") == "1\n1"


def test_what_functions_print_goes_to_the_standard_error(shell: Shell) -> None:
    stored = (
        "SELECT vm_create('stored', 'python', 'def stored(a):\n    print(\"stored\", a)\n    return"
        " a', '(int) -> int');"
    )
    lines = [
        NUMBERS + "SELECT sum(vm_udf('noisy', i)) FROM n;",
        stored.replace("\n", "' || char(10) || '"),
        "SELECT vm_udf('stored', 3);",
    ]
    expected = "".join(f"said\\x1b {i}\n" for i in range(1, 101)) + "stored 3\n"
    assert shell(*lines, "SELECT nothing();", fails=True).startswith(expected)
    assert (
        shell("SELECT vm_policy('log');", "SELECT vm_policy('log', 'drop');", lines[0])
        == "stderr\ndrop\n5050"
    )
    assert shell(
        "SELECT vm_policy('log', 'drop');", lines[0], "SELECT nothing();", fails=True
    ).startswith("Parse error")
    assert "not a value" in shell("SELECT vm_policy('log', 'nowhere');", fails=True)


def test_errors(shell: Shell) -> None:
    text = shell(NUMBERS + "SELECT vm_udf('picky', i) FROM n;", fails=True)
    assert "UDF 'picky', row 49: ValueError: fifty" in text and 'raise ValueError("fifty")' in text
    assert "did not end within 0.3 s" in shell("SELECT vm_udf('endless', 1);", fails=True)
    assert "expected INTEGER, got TEXT" in shell("SELECT vm_udf('picky', 'x');", fails=True)
    assert "no UDF named 'nobody'" in shell("SELECT vm_udf('nobody');", fails=True)


def test_functions_in_the_database(shell: Shell, tmp_path: Path) -> None:
    database = str(tmp_path / "plugins.db")
    create = (
        "SELECT vm_create('slug', 'python', 'import re\ndef slug(t): return re.sub(\"[^a-z]+\","
        " \"-\", t.lower())', '(text) -> text');"
    )
    assert (
        shell(create, "SELECT vm_udf('slug', 'Hello, World');", database=database)
        == "1\nhello-world"
    )
    assert (
        shell(
            "SELECT vm_udf('slug', 'A B');",
            "SELECT name, origin FROM vm_functions;",
            database=database,
        )
        == "a-b\nslug|database"
    )
    assert (
        shell("SELECT vm_drop('slug');", "SELECT count(*) FROM udfvm_functions;", database=database)
        == "1\n0"
    )
    python = (
        "SELECT vm_create('slow', 'python', 'def slow():\n    while True: pass', '() -> int',"
        " 'row_timeout=0.2');"
    )
    assert "0.2 s" in shell(python, "SELECT vm_udf('slow');", fails=True)


def test_a_sealed_function_goes_before_a_stored_one(shell: Shell, tmp_path: Path) -> None:
    database = str(tmp_path / "stranger.db")
    shell(
        "SELECT vm_create('shout2', 'python', 'def shout2(t): return \"stranger\"', '(text) ->"
        " text');",
        "UPDATE udfvm_functions SET name = 'shout';",
        database=database,
    )
    assert shell("SELECT vm_udf('shout', 'x');", database=database) == "X"


def test_the_policy_of_the_shell(shell: Shell) -> None:
    assert (
        shell("SELECT vm_policy('allow_create'), vm_policy('languages'), vm_policy('row_timeout');")
        == "1|python,wasm,native|10.0"
    )
    assert "does not allow it" in shell(
        "SELECT vm_policy('ALLOW_CREATE', 0);", "SELECT vm_drop('x');", fails=True
    )
    assert (
        shell(
            "SELECT vm_policy('languages', 'python'), vm_policy('statement_timeout', 0.5),"
            " vm_policy('idle_spin', 0);"
        )
        == "python|0.5|0.0"
    )
    for wrong in (
        "'languages', 'perl'",
        "'row_timeout', 0",
        "'row_timeout', 'long'",
        "'idle_spin', 5",
        "'allow_create', 2",
        "'max_source', -1",
    ):
        assert "not a value" in shell(f"SELECT vm_policy({wrong});", fails=True)
    assert "there are allow_create" in shell("SELECT vm_policy('nothing');", fails=True)


def test_a_hostile_schema_can_do_nothing(shell: Shell, tmp_path: Path) -> None:
    database = str(tmp_path / "stranger.db")
    schema = (
        "CREATE TABLE t(a); CREATE VIEW v AS SELECT vm_udf('score', 1, 2) AS a; CREATE VIEW w AS"
        " SELECT vm_attach('shout') AS a;"
    )
    trigger = (
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT vm_create('x', 'python', 'def x(): return"
        " 1', '() -> int'); END;"
    )
    shell(schema, trigger, database=database)
    for sql in ("SELECT * FROM v;", "SELECT * FROM w;", "INSERT INTO t VALUES (1);"):
        assert "unsafe use of" in shell(sql, database=database, fails=True)
    assert shell("SELECT count(*) FROM t;", database=database) == "0"


def test_an_attached_function_serves_a_schema_only_where_its_user_says_so(shell: Shell) -> None:
    table = ("CREATE TABLE t(a);", "INSERT INTO t VALUES ('x'), ('y');")
    view = ("CREATE VIEW v AS SELECT shout(a) FROM t;", "SELECT * FROM v;")
    assert "unsafe use of" in shell(*table, "SELECT vm_attach('shout');", *view, fails=True)
    index = "CREATE INDEX i ON t(shout(a));"
    query = "SELECT a FROM t WHERE shout(a) = 'Y';"
    output = shell(
        *table,
        "SELECT vm_attach('shout', 'in_schema');",
        index,
        query,
        "EXPLAIN QUERY PLAN " + query,
    )
    assert output.startswith("shout\ny\n") and "USING INDEX i" in output
    assert "non-deterministic" in shell(
        *table,
        "SELECT vm_attach('alone', 'in_schema');",
        "CREATE INDEX i ON t(alone(a));",
        fails=True,
    )
    assert "in_schema" in shell("SELECT vm_attach('shout', 'everywhere');", fails=True)


def test_what_is_gone_from_the_cache_is_an_error_that_says_what_to_do(
    sealed: Path, shell: Shell, tmp_path: Path
) -> None:
    functions = cache_directory() / "functions"
    whole = (functions / "score.udf").read_text()
    damaged = {
        "that of another function: run `udfvm seal` again": whole.replace("layer ", "layer x"),
        "of another version of udfvm": whole.replace("udfvm-function ", "udfvm-function 999"),
        "run `udfvm seal` again": whole.replace("signature (", "signature ["),
    }
    try:
        for index, (expected, text) in enumerate(damaged.items()):
            (functions / f"damaged{index}.udf").write_text(text)
            assert expected in shell(f"SELECT vm_udf('damaged{index}', 1, 2);", fails=True)
    finally:
        for index in range(len(damaged)):
            (functions / f"damaged{index}.udf").unlink(missing_ok=True)
    runtime = cache_directory() / "runtimes" / "python.runtime"
    kept = runtime.read_text()
    runtime.unlink()
    try:
        assert "udfvm prepare" in shell(
            "SELECT vm_create('x', 'python', 'def x(): return 1', '() -> int');", fails=True
        )
    finally:
        runtime.write_text(kept)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_no_file_of_ours_is_refused(
    sealed: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    score = cache_directory() / "functions" / "score.udf"
    names = dict(line.split(maxsplit=1) for line in score.read_text().splitlines())
    cache = tmp_path / "cache"
    for folder in (cache, cache / "functions", cache / "runtimes"):
        folder.mkdir(mode=0o700)
    places = {
        "functions/score.udf": score,
        "runtimes/python.runtime": cache_directory() / "runtimes" / "python.runtime",
    }
    places |= {names[key]: cache_directory() / names[key] for key in ("base", "layer")}
    for place, original in places.items():
        subprocess.run(["cp", "-a", "--sparse=always", original, cache / place], check=True)
    monkeypatch.setenv("UDFVM_CACHE", str(cache))
    call, create = (
        "SELECT vm_udf('score', 12, 300);",
        "SELECT vm_create('x', 'python', 'def x(): return 1', '() -> int');",
    )
    assert shell(call) == "4.0"
    for place, original in places.items():
        put(kind, cache / place)
        text = shell(create if place.startswith("runtimes") else call, fails=True)
        assert str(cache / place) in text and "remove it" in text
        assert not (cache / place).parent.joinpath("nowhere").exists()
        remove(cache / place)
        subprocess.run(["cp", "-a", "--sparse=always", original, cache / place], check=True)
    assert shell(call) == "4.0"


@pytest.mark.parametrize("folder", ["", "functions"])
def test_directories_that_others_can_write_are_refused(shell: Shell, folder: str) -> None:
    directory = cache_directory() / folder
    mode = directory.stat().st_mode
    directory.chmod(0o777)
    try:
        text = shell("SELECT vm_udf('score', 12, 300);", fails=True)
    finally:
        directory.chmod(mode)
    assert f"{directory} can be written by other users" in text and "chmod go-w" in text


def test_what_the_shell_uses_is_in_use(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("functions", "runtimes", ""):
        (tmp_path / name).mkdir(mode=0o700, exist_ok=True)
    score = (cache_directory() / "functions" / "score.udf").read_text()
    names = dict(line.split(maxsplit=1) for line in score.splitlines())
    images = [tmp_path / names[key] for key in ("base", "layer")]
    for image in images:
        subprocess.run(
            ["cp", "-a", "--sparse=always", cache_directory() / image.name, image], check=True
        )
    (tmp_path / "functions" / "score.udf").write_text(score)
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    with subprocess.Popen(
        ["sqlite3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f".load {udfvm.sqlite.EXTENSION}\nSELECT vm_udf('score', 12, 300);\n")
        process.stdin.flush()
        assert process.stdout.readline() == "4.0\n"
        (tmp_path / "functions" / "score.udf").unlink()  # which alone would keep them
        for path in tmp_path.iterdir():
            if path.is_file():
                os.utime(path, (0, 0))
        assert prune(0).files == 0
        process.stdin.write("SELECT 1;\n")
        process.communicate()
    assert prune(0).files == 2
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_use_in_the_shell_counts_as_one(shell: Shell) -> None:
    score = (cache_directory() / "functions" / "score.udf").read_text()
    names = dict(line.split(maxsplit=1) for line in score.splitlines())
    notes = [cache_directory() / f"{names[key]}.verified" for key in ("base", "layer")]
    for note in notes:
        os.utime(note, (0, 0))
    assert shell("SELECT vm_udf('score', 12, 300);") == "4.0"
    assert all(note.stat().st_mtime > 0 for note in notes)


def test_control_c_interrupts_a_call(sealed: Path) -> None:
    commands_ = (
        f".load {udfvm.sqlite.EXTENSION}\nSELECT vm_create('loop', 'python', 'def loop():\n while"
        " True: pass', '() -> int');\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["sqlite3", "-interactive"], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(
            commands_
            + "SELECT 'be' || 'gun';\nSELECT vm_udf('loop');\nSELECT 'still ' || 'here';\n"
        )
        shell.stdin.flush()
        while "begun" not in shell.stdout.readline():
            pass
        time.sleep(0.7)
        shell.send_signal(signal.SIGINT)
        rest, _ = shell.communicate(timeout=60)
    assert "interrupted" in rest and "still here" in rest


def test_seal_refuses_what_it_cannot_seal(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text("import udfvm\n")
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code != 0 and "defines no UDF" in str(done.exception)
    file.write_text(SOURCE)
    done = CliRunner().invoke(commands, ["seal", str(file), "nobody"])
    assert done.exit_code != 0 and "defines no UDF nobody" in str(done.exception)
    file.write_text(
        "import udfvm\n@udfvm.udf(input_types=['uint64'])\ndef f(x: int) -> int:\n    return x\n"
    )
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code != 0 and "SQLite has no type for uint64" in str(done.exception)
