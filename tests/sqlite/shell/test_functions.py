"""Functions in the sqlite3 shell, which knows no Python."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from busy_processes import await_busy
from shell_functions import Shell

import udfvm.sqlite

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "


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
    assert "cannot have this value" in shell("SELECT vm_policy('log', 'nowhere');", fails=True)


def test_errors(shell: Shell) -> None:
    text = shell(NUMBERS + "SELECT vm_udf('picky', i) FROM n;", fails=True)
    assert "UDF 'picky', row 49: ValueError: fifty" in text and 'raise ValueError("fifty")' in text
    assert "did not end within 0.3 s" in shell("SELECT vm_udf('endless', 1);", fails=True)
    assert "takes INTEGER; got TEXT" in shell("SELECT vm_udf('picky', 'x');", fails=True)
    assert "no UDF named 'nobody'" in shell("SELECT vm_udf('nobody');", fails=True)


def test_lists_of_sealed_functions_have_those_in_use(shell: Shell, sealed: Path) -> None:
    use = ("SELECT vm_attach('shout');", "SELECT vm_udf('picky', 1);")
    unknown = shell(*use, "SELECT vm_udf('nobody');", fails=True)
    assert "registered: " not in unknown
    [listed] = re.findall(r"\(sealed: ([^)]*)\)", unknown)
    names = set(listed.split(", "))
    assert {"picky", "shout"} <= names  # other tests may have sealed more than a list has
    assert names & {"score", "..."}
    assert len(names) == len(listed.split(", "))
    nothing_used, used = (
        re.findall(r"\(sealed: ([^)]*)\)", shell(*lines, "SELECT vm_attach('x');", fails=True))
        for lines in ((), use)
    )
    assert nothing_used == used and ("shout" in used[0] or used[0].endswith("..."))
    for misspelt in ("shoat", "shuot", "hsout", "shoutt"):
        text = shell(*use, f"SELECT vm_attach('{misspelt}');", fails=True)
        assert "did you mean 'shout'?" in text


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
        assert "cannot have this value: it takes " in shell(
            f"SELECT vm_policy({wrong});", fails=True
        )
    assert shell("SELECT vm_policy('row_timeout', 1000000000);") == "1000000000.0"
    assert "seconds, from 0.000001 to 1,000,000,000" in shell(
        "SELECT vm_policy('row_timeout', 1000000001);", fails=True
    )
    assert "the settings are allow_create" in shell("SELECT vm_policy('nothing');", fails=True)


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
        await_busy(shell.pid)
        shell.send_signal(signal.SIGINT)
        rest, _ = shell.communicate(timeout=60)
    assert "interrupted" in rest and "still here" in rest
