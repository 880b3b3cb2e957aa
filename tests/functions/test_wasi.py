"""WASI modules, compiled from C: commands and reactors, their streams, arguments, environment,
files, clock and randomness.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pytest
from wasi_programs import COMMAND, REACTOR, compiled

import udfvm
from udfvm import errors


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("command"), "command", COMMAND)


@pytest.fixture(scope="module")
def reactor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("reactor"), "reactor", REACTOR, "-mexec-model=reactor")


@pytest.fixture(scope="module")
def does(command: Path) -> udfvm.ScalarFunction:
    """A command with two arguments behind its standard input."""
    return udfvm.from_wasm(
        command,
        "_start",
        signature="(stdin: text, what: text, more: text) -> text",
        name="does",
        args=["program"],
        env={"HOME": "/nowhere", "EMPTY": ""},
        root={"/data/a.txt": b"content", "b.txt": "text"},
    )


def test_a_command_is_a_function_of_its_input(command: Path) -> None:
    upper = udfvm.from_wasm(command, "_start", name="upper")
    assert repr(upper) == "<UDF upper(stdin: string) -> string>"
    assert upper("some text") == "SOME TEXT"
    assert upper("") == ""
    assert upper(None) is None
    assert upper(pa.array(["a", None, "", "b" * 100_000])).to_pylist() == [
        "A",
        None,
        "",
        "B" * 100_000,
    ]


def test_a_program_has_the_name_of_the_udf(command: Path) -> None:
    signature = "(stdin: text, what: text) -> text"
    named = udfvm.from_wasm(command, "_start", name="named", signature=signature)
    assert named("", "program") == "named\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"args": "named -v"}, r"args= must be a list of texts, such as \['named', '-v'\]"),
        ({"args": 3}, "args= must be a list of texts.*; got 3"),
        ({"args": [3]}, "args= has 3, which is no text"),
        ({"env": ["A=1"]}, "env= must be a mapping, such as {'LANG': 'C'}"),
        ({"env": {"A": 1}}, "env= has 1, which is no text"),
        ({"env": {1: "A"}}, "env= has 1, which is not the name of a variable"),
        ({"env": {"A": "\0"}}, "env= has a NUL character in 'A'"),
        ({"writable": 1}, "writable= takes True or False; got 1"),
        ({"root": 3}, "root= must be a folder, or a mapping of bytes by path; got 3"),
        ({"root": {"/a": 3}}, "root= has '/a': 3; files are bytes by path"),
    ],
)
def test_options_of_wasi_that_make_no_sense(
    command: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(udfvm.OptionError, match=f"UDF 'named': {message}"):
        udfvm.from_wasm(command, "_start", name="named", **options)


def test_a_folder_that_is_not_there(command: Path, tmp_path: Path) -> None:
    with pytest.raises(
        udfvm.CodeFileNotFoundError, match=r"UDF '_start': .*cannot be read: No such"
    ):
        udfvm.from_wasm(command, "_start", root=tmp_path / "absent")


def test_blobs(command: Path) -> None:
    assert (
        udfvm.from_wasm(command, "_start", name="upper", signature="(blob) -> blob")(b"a\xff\0b")
        == b"A\xff\0B"
    )
    assert (
        udfvm.from_wasm(
            command, "_start", name="bytes", signature="() -> blob", args=["x", "bytes"]
        )()
        == b"\xff\0\xfe"
    )
    with pytest.raises(udfvm.UDFError, match="not valid UTF-8: declare a blob"):
        udfvm.from_wasm(
            command, "_start", name="bytes", signature="() -> text", args=["x", "bytes"]
        )()


def test_arguments_environment_and_files(does: udfvm.ScalarFunction) -> None:
    assert does("", "program", "") == "program\n"
    assert [does("", "variable", name) for name in ("HOME", "EMPTY", "PATH")] == [
        "/nowhere",
        "",
        "(none)",
    ]
    assert [does("", "read", path) for path in ("/data/a.txt", "data/a.txt", "b.txt")] == [
        "content",
        "content",
        "text",
    ]
    assert does("x", pa.array(["upper", "read"]), pa.array(["", "b.txt"])).to_pylist() == [
        "X",
        "text",
    ]


@pytest.mark.parametrize("path", ["/data/a.txt", "/data/new.txt"])
def test_files_cannot_be_written(does: udfvm.ScalarFunction, path: str) -> None:
    with pytest.raises(udfvm.UDFError, match=r"exit status 4\n(.|\n)*open: "):
        does("", "write", path)


def test_scratch_files_are_fresh_in_every_call(does: udfvm.ScalarFunction, command: Path) -> None:
    """In a batch they grow: 1 byte, then 6 of which truncate() left 5."""
    assert [does("", "files", "/tmp") for _ in range(2)] == ["1 moved"] * 2
    rows = pa.array([""] * 3)
    assert does(rows, "files", "/tmp").to_pylist() == ["1 moved", "6 moved", "6 moved"]
    with pytest.raises(udfvm.UDFError, match=r"exit status 4\n(.|\n)*/data: "):
        does("", "files", "/data")
    writable = udfvm.from_wasm(
        command,
        "_start",
        name="writable",
        signature="(stdin: text, what: text, more: text) -> text",
        args=["program"],
        root={"/data/kept": b"1234"},
        writable=True,
    )
    for folder, expected in (("/tmp", "1 moved"), ("/", "1 moved"), ("/data", "5 moved")):
        assert [writable("", "files", folder) for _ in range(2)] == [expected] * 2
    assert writable("", "read", "/data/kept") == "1234"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../settings",
        "/proc/self/maps",
        "/tmp/preopened/b.txt",
        "/data/../../etc/passwd",
    ],
)
def test_other_files_do_not_exist(does: udfvm.ScalarFunction, path: str) -> None:
    with pytest.raises(udfvm.UDFError, match="exit status 4"):
        does("", "read", path)


def test_a_folder_of_files(command: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("from the folder")
    (tmp_path / "link").symlink_to("/etc/passwd")
    options = {"signature": "(text, text, text) -> text", "args": ["x"], "root": tmp_path}
    read = udfvm.from_wasm(command, "_start", name="read", **options)  # type: ignore[arg-type]
    assert read("", "read", "inner/file") == "from the folder"
    with pytest.raises(udfvm.UDFError, match="exit status 4"):
        read("", "read", "link")


def test_exit_status_and_traps(does: udfvm.ScalarFunction) -> None:
    with pytest.raises(
        udfvm.UDFError,
        match=r"row 1: SystemExit: the command ended with exit status 3\n.*\nwhat is love\?",
    ):
        does("", pa.array(["upper", "love"]), "")
    with pytest.raises(udfvm.UDFError, match="Trap: wasm `unreachable`"):
        does("", "trap", "")
    assert does("a", "upper", "") == "A"


def test_clock_and_randomness(does: udfvm.ScalarFunction, reactor: Path) -> None:
    now = udfvm.from_wasm(reactor, "now").prepare()
    for clock in (lambda: int(does("", "time", "")), lambda: now(0)):
        before = time.time()
        assert before - 1 <= clock() <= time.time() + 1  # both count whole seconds
    random = udfvm.from_wasm(reactor, "random")
    assert len({does("", "random", "") for _ in range(3)} | {random(0) for _ in range(3)}) == 6
    same = udfvm.from_wasm(reactor, "random", deterministic=True)
    assert same(0) == same(0)


def test_a_reactor_is_initialized_once_for_all_calls(reactor: Path) -> None:
    size = udfvm.from_wasm(reactor, "ready_and_size", root={"table/numbers.txt": b"x" * 321})
    assert [size(0), size(0)] == [42_321, 42_321]
    assert udfvm.from_wasm(reactor, "ready_and_size")(0) == 42_000


def test_output_of_a_function_is_the_log(reactor: Path) -> None:
    say = udfvm.from_wasm(reactor, "say", max_log="1KiB", log="strict")
    assert say(10) == 10
    with pytest.raises(udfvm.LogLimitError):
        say(1000)


def test_a_trap_tells_what_was_written_to_the_standard_error(reactor: Path) -> None:
    panic = udfvm.from_wasm(reactor, "panic")
    assert panic(1) == 1
    with pytest.raises(
        udfvm.UDFError,
        match=r"Trap: wasm `unreachable`(.|\n)*\nIts standard error:\npanicked at number 13\Z",
    ):
        panic(13)
    with pytest.raises(
        udfvm.UDFError,
        match=r"row 2: Trap: (.|\n)*:(\npanicked at number 1){2}\npanicked at number 5\Z",
    ):
        panic(pa.array([1, 1, 5, 1], pa.int32()))
    with pytest.raises(
        udfvm.UDFError, match=r"Its standard error:\nab\?\?\?panicked at number -1\Z"
    ):
        panic(-1)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, panic)
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 30)"
    with pytest.raises(apsw.SQLError, match=r"Its standard error:\npanicked at number 7\Z"):
        connection.execute(
            f"{numbers} SELECT panic(CASE x WHEN 30 THEN 7 ELSE 1 END) FROM n"
        ).fetchall()


@pytest.mark.parametrize("lines", [1000, 1001, 1002, 1003])
def test_only_the_end_of_the_standard_error_is_in_the_error(reactor: Path, lines: int) -> None:
    panic = udfvm.from_wasm(reactor, "panic", max_log="1MiB")
    with pytest.raises(udfvm.UDFError) as caught:
        panic(lines)
    _, shown = caught.value.guest_traceback.split("Its standard error:\n...")
    whole = "".join(f"line {line}: ñ\n" for line in range(lines)) + f"panicked at number {lines}"
    assert whole.endswith(shown)
    assert 4000 < len(shown.encode()) <= 4096


def test_sql(command: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.from_wasm(command, "_start", name="upper"))
    query = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20) SELECT"
        " upper('row ' || x) FROM n"
    )
    assert [text for (text,) in connection.execute(query)] == [f"ROW {x}" for x in range(1, 21)]


def test_a_command_stored_in_a_database(command: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    connection.execute(
        "SELECT vm_create('upper', 'wasm', ?, '(text) -> text', 'entry=_start')",
        (command.read_bytes(),),
    )
    assert connection.execute(
        "SELECT vm_udf('upper', 'stored'), vm_udf('upper', NULL)"
    ).fetchall() == [("STORED", None)]


def test_a_signature_that_is_no_commands(command: Path) -> None:
    for signature in ("(i64) -> text", "(text) -> f64", "(text, blob) -> text", "(text?) -> text"):
        with pytest.raises(errors.SignatureError, match="a command takes its standard input"):
            udfvm.from_wasm(command, "_start", name="x", signature=signature)


@pytest.mark.parametrize(
    "options",
    [
        {"args": "text"},
        {"args": ["a\0b"]},
        {"env": {"A=B": ""}},
        {"root": {"../x": b""}},
        {"root": {"/": b""}},
        {"root": {"a": bytes(49 << 20)}},
    ],
)
def test_settings_that_are_none(options: dict[str, object]) -> None:
    with pytest.raises(errors.SignatureError):
        udfvm.from_wasm("(module)", "_start", **options)  # type: ignore[arg-type]
