"""What functions print is seen: on the program's own streams when the call ends, in errors, and
where ``log=`` says."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm

Capture = pytest.CaptureFixture[str]


@udfvm.udf(timeout=2)
def says(x: int) -> int:
    import ctypes
    import os
    import sys

    print("out", x)
    print("err", x, file=sys.stderr)
    if x >= 0:
        return x
    print("and then", end="")
    if x == -1:
        raise ValueError("minus one")
    while x == -2:
        pass
    if x == -3:
        ctypes.string_at(8)
    if x == -4:
        os._exit(4)
    if x == -5:
        sys.exit("leaving")
    if x == -6:
        os.abort()
    return x


def test_it_appears_on_the_streams_of_the_program(capsys: Capture) -> None:
    says.prepare()
    assert tuple(capsys.readouterr()) == ("", "")
    assert says(1) == 1
    assert tuple(capsys.readouterr()) == ("out 1\n", "err 1\n")


BATCHES: list[Callable[[Any], Any]] = [
    np.array,
    pa.array,
    lambda values: pa.chunked_array([values]),
]


@pytest.mark.parametrize("make", BATCHES, ids=["numpy", "Arrow", "chunked"])
def test_batches(capsys: Capture, make: Callable[[Any], Any]) -> None:
    for _ in range(3):  # numpy's small batches take another way from the second on
        assert list(np.asarray(says(make([1, 2])))) == [1, 2]
        assert tuple(capsys.readouterr()) == ("out 1\nout 2\n", "err 1\nerr 2\n")
    with pytest.raises(udfvm.UDFError) as caught:
        says(make([1, -1]))
    assert caught.value.output == "out 1\nerr 1\nout -1\nerr -1\nand then"


def test_the_streams_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        says(7)
        assert (out.getvalue(), err.getvalue()) == ("out 7\n", "err 7\n")
    monkeypatch.setattr(sys, "stdout", None)  # a program without a console
    assert says(7) == 7


FAILURES: list[tuple[int, type[udfvm.Error]]] = [
    (-1, udfvm.UDFError),
    (-2, udfvm.CallTimeoutError),
    (-3, udfvm.GuestCrashError),
    (-4, udfvm.GuestExitError),
    (-5, udfvm.UDFError),
    (-6, udfvm.GuestCrashError),
]


@pytest.mark.parametrize("log", ["forward", "drop", "strict"])
@pytest.mark.parametrize(
    ("x", "kind"), FAILURES, ids=["raises", "spins", "crashes", "leaves", "exits", "aborts"]
)
def test_errors_have_it(capsys: Capture, x: int, kind: type[udfvm.CallError], log: Any) -> None:
    function = udfvm.udf(timeout=2, name="says", log=log)(says.function)
    with pytest.raises(kind) as caught:
        function(x)
    assert caught.value.output == f"out {x}\nerr {x}\nand then"
    shown = ("", "") if log == "drop" else (f"out {x}\nand then", f"err {x}\n")
    assert tuple(capsys.readouterr()) == shown
    with pytest.raises(udfvm.UDFError) as caught:
        function(-1)
    assert caught.value.output == "out -1\nerr -1\nand then"  # of its own call alone


def test_errors_of_silent_functions_have_none() -> None:
    @udfvm.udf
    def silent(x: int) -> float:
        return 1 / x

    with pytest.raises(udfvm.UDFError) as failed:
        says(-1)
    assert failed.value.output
    with pytest.raises(udfvm.UDFError) as caught:
        silent(0)
    assert caught.value.output == ""
    with pytest.raises(udfvm.UDFError) as caught:
        silent(np.array([1, 0]))
    assert caught.value.output == ""


def test_where_a_function_cannot_be_loaded_the_error_has_it() -> None:
    @udfvm.udf(sample=(1,))
    def fails(x: int) -> int:
        print("in the sample")
        raise ValueError(x)

    with pytest.raises(udfvm.UDFError, match="ValueError") as caught:
        fails(2)
    assert "in the sample" in caught.value.output


def test_logging_warnings_and_child_handlers(capsys: Capture) -> None:
    @udfvm.udf(sample=(1,))
    def warns(x: int) -> int:
        import logging
        import warnings

        logging.getLogger("guest").warning("logged %d", x)
        warnings.warn(f"warned {x}", stacklevel=1)
        return x

    warns(5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "logged 5" in err
    assert "warned 5" in err


def test_control_characters_are_written_out(capsys: Capture) -> None:
    @udfvm.udf
    def escapes(x: int) -> int:
        import os

        os.write(1, b"\x1b[31mred\x07\0\ttab\nline\r\nover\rwritten \xff\xe2\x80\xae")
        return x

    escapes(1)
    assert (
        capsys.readouterr().out
        == "\\x1b[31mred\\x07\\x00\ttab\nline\nover\\x0dwritten \ufffd\\u202e"
    )


def test_both_streams_stay_in_order() -> None:
    heard: list[tuple[str, str]] = []

    @udfvm.udf(log=lambda text, stream: heard.append((stream, text)))
    def alternates(x: int) -> int:
        import sys

        for index in range(x):
            print(index, end=" ")
            print(index, file=sys.stderr, end=" ")
        print("end", end="")
        return x

    alternates(2)
    assert heard == [
        ("stdout", "0 "),
        ("stderr", "0 "),
        ("stdout", "1 "),
        ("stderr", "1 "),
        ("stdout", "end"),
    ]


def test_loggers(capsys: Capture, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test_output")
    function = udfvm.udf(name="says", log=logger)(says.function)
    with caplog.at_level(logging.INFO, "test_output"):
        function(3)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "out 3"),
        ("WARNING", "err 3"),
    ]
    assert tuple(capsys.readouterr()) == ("", "")


class _Stop(BaseException):
    pass


@pytest.mark.parametrize("kind", [_Stop, KeyboardInterrupt, ValueError])
def test_what_a_callable_raises_reaches_the_caller(kind: type[BaseException]) -> None:
    def refuse(text: str, stream: str) -> None:
        raise kind(text)

    function = udfvm.udf(name="says", log=refuse)(says.function)
    for _ in range(2):
        with pytest.raises((kind, udfvm.HostFunctionError)) as caught:
            function(1)
        raised = caught.value if isinstance(caught.value, kind) else caught.value.__cause__
        assert isinstance(raised, kind)
        assert raised.args == ("out 1\n",)
    assert says(1) == 1


def test_a_callable_may_call_functions(capsys: Capture) -> None:
    @udfvm.udf(log=lambda text, stream: says(len(text)))
    def outer(x: int) -> int:
        print("12345", end="")
        return x

    assert outer(1) == 1
    assert capsys.readouterr().out == "out 5\n"


@pytest.mark.parametrize("most", [0, 1, 100, 70_000, 200_000])
def test_past_the_limit_it_is_cut(capsys: Capture, most: int) -> None:
    @udfvm.udf(max_log=most)
    def chatters(x: int) -> int:
        import os
        import sys

        for _ in range(10):
            os.write(1, b"x" * x)
        print("never seen", file=sys.stderr)
        return x

    assert chatters(40_000) == 40_000
    out, err = capsys.readouterr()
    assert out == "x" * most + f"\n[udfvm: output cut at {most} bytes; raise max_log=]\n"
    assert err == ""


def test_only_strict_raises(capsys: Capture) -> None:
    @udfvm.udf(max_log=10, log="strict")
    def chatters(x: int) -> int:
        print("x" * x)
        return x

    assert chatters(5) == 5
    with pytest.raises(udfvm.LogLimitError, match="max_log=") as caught:
        chatters(50)
    assert caught.value.output.startswith("x" * 10 + "\n[udfvm: output cut")
    assert capsys.readouterr().out.startswith("xxxxx\nxxxxxxxxxx\n[udfvm")


@pytest.mark.parametrize("log", ["froward", 5, None, b"drop", ["drop"]])
def test_what_log_cannot_be(log: Any) -> None:
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.udf(log=log)(says.function)
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.table_function(columns={"a": int}, log=log)(lambda x: [])
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.from_wasm("(module)", "f", log=log)
    with pytest.raises(udfvm.Error, match="log="):
        udfvm.sqlite.Policy(log=log)


@pytest.mark.parametrize(
    ("most", "kept"),
    [(0, ""), (1, ""), (2, "é"), (3, "é"), (4, "é"), (5, "é✓"), (8, "é✓"), (9, "é✓😀")],
)
def test_the_cut_is_between_characters(capsys: Capture, most: int, kept: str) -> None:
    @udfvm.udf(max_log=most)
    def writes(x: int) -> int:
        print("é✓😀", end="")
        return x

    writes(1)
    mark = "" if most == 9 else f"\n[udfvm: output cut at {most} bytes; raise max_log=]\n"
    assert capsys.readouterr().out == kept + mark


def test_bytes_that_are_no_text_are_cut_where_the_limit_is() -> None:
    heard: list[str] = []

    @udfvm.udf(max_log=6, log=lambda text, stream: heard.append(text))
    def writes(x: int) -> int:
        import os

        os.write(1, b"\x80" * 10)
        return x

    writes(1)
    assert "".join(heard).startswith("\ufffd" * 6 + "\n[udfvm")


class _Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "nobody reads it")


def test_a_stream_that_takes_nothing_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, _Broken()):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        assert says(3) == 3
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, says)
        assert connection.execute("SELECT says(4)").fetchall() == [(4,)]


def test_a_stream_of_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    @udfvm.udf
    def writes(x: int) -> int:
        print("grüß ✓")
        return x

    data = io.BytesIO()
    monkeypatch.setattr(
        sys, "stdout", io.TextIOWrapper(data, encoding="latin-1", write_through=True)
    )
    assert writes(1) == 1
    assert data.getvalue() == "grüß \\u2713\n".encode("latin-1")


async def _waits(text: str, stream: str) -> None: ...


@pytest.mark.parametrize("log", [_waits, lambda text: None, lambda: None, lambda a, b, c: None])
def test_callables_that_cannot_take_it(log: Any) -> None:
    with pytest.raises(
        udfvm.SignatureError, match=r"no function that can be called with \(text, stream\)"
    ):
        udfvm.udf(log=log)(says.function)


def test_adapters_of_loggers(caplog: pytest.LogCaptureFixture) -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("test_output"), {})
    with caplog.at_level(logging.INFO, "test_output"):
        udfvm.udf(name="says", log=adapter)(says.function)(3)
    assert [record.getMessage() for record in caplog.records] == ["out 3", "err 3"]


# ---- Other kinds ----


def test_vectorised_functions_and_lists(capsys: Capture) -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def whole(x: np.ndarray) -> np.ndarray:
        print("rows", len(x))
        return x

    @udfvm.udf
    def lists(x: list[int]) -> list[int]:
        print("items", len(x))
        return x

    whole(np.ones(3))
    whole(np.ones(3))
    lists([1, 2])
    lists(pa.array([[1], [1, 2]]))
    assert capsys.readouterr().out == "rows 3\nrows 3\nitems 2\nitems 1\nitems 2\n"


def test_native_functions(capsys: Capture) -> None:
    source = """
        #include <udfvm.h>
        UDFVM_SCALAR(said, i64, (i64, a))
        {
            printf("native %d\\n", (int)a);
            fprintf(stderr, "error %d", (int)a);
            if (a == 2)
                udfvm_fail("two");
            if (a == 3)
                *(volatile int *)8 = 0;
            return a;
        }
    """
    said = udfvm.from_c(source, "said")
    assert said(1) == 1
    assert tuple(capsys.readouterr()) == ("native 1\n", "error 1")
    for a, kind in ((2, udfvm.UDFError), (3, udfvm.GuestCrashError)):
        with pytest.raises(kind) as caught:
            said(a)
        assert caught.value.output == f"native {a}\nerror {a}"
    heard: list[str] = []
    assert udfvm.from_c(source, "said", log=lambda text, stream: heard.append(text))(1) == 1
    assert heard == ["native 1\n", "error 1"]


WASM = r"""
__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
int fd_write(int fd, const void *vectors, int count, void *written);
__attribute__((export_name("said"))) int said(int fd)
{
    struct { const char *at; int length; } vector = { "from the module\n", 16 };
    int written;
    fd_write(fd, &vector, 1, &written);
    return written;
}
"""


def test_webassembly(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    (tmp_path / "said.c").write_text(WASM)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-nostdlib"]
    command += ["-Wl,--no-entry", "-O1", "said.c", "-o", "said.wasm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = udfvm.from_wasm(tmp_path / "said.wasm", "said")
    assert said(1) == 16
    assert tuple(capsys.readouterr()) == ("from the module\n", "")
    assert said(2) == 16
    assert tuple(capsys.readouterr()) == ("", "from the module\n")


def test_table_functions_and_aggregates(capsys: Capture) -> None:
    @udfvm.table_function(columns={"value": int})
    def rows(count: int) -> Iterator[int]:
        print("begin")
        yield from range(count)
        print("end")

    @udfvm.aggregate
    class Sum:
        def __init__(self) -> None:
            print("new")
            self.sum = 0

        def step(self, value: int) -> None:
            self.sum += value

        def finish(self) -> int:
            print("sum", self.sum)
            return self.sum

    assert len(list(rows(3))) == 3
    assert capsys.readouterr().out == "begin\nend\n"
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows, Sum)
    assert list(connection.execute("SELECT Sum(value) FROM rows(4)")) == [(6,)]
    assert sorted(capsys.readouterr().out.splitlines()) == ["begin", "end", "new", "sum 6"]


# ---- SQL ----

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_rows_of_a_statement_are_seen_as_they_come(capsys: Capture, isolation: Any) -> None:
    function = udfvm.udf(name="says", isolation=isolation)(says.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    for number, row in enumerate(connection.execute(NUMBERS + "SELECT says(i) FROM n"), 1):
        assert row == (number,)
        out, err = capsys.readouterr()
        assert out.endswith(f"out {number}\n")
        assert err.endswith(f"err {number}\n")


def test_a_statement_that_fails(capsys: Capture) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, says)
    for end in (-1, -2, -3, -4):
        with pytest.raises(apsw.SQLError):
            connection.execute(NUMBERS + f"SELECT says(iif(i = 20, {end}, i)) FROM n").fetchall()
        out, err = capsys.readouterr()
        assert out == "".join(f"out {i}\n" for i in range(1, 20)) + f"out {end}\nand then"
        assert err == "".join(f"err {i}\n" for i in range(1, 20)) + f"err {end}\n"


def test_the_limit_is_that_of_the_statement(capsys: Capture) -> None:
    function = udfvm.udf(name="says", max_log=100)(says.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    for _ in range(2):
        assert connection.execute(NUMBERS + "SELECT sum(says(i)) FROM n").fetchall() == [(465,)]
        out, err = capsys.readouterr()
        assert (out + err).count("[udfvm: output cut at 100 bytes; raise max_log=]") == 1
        assert len(out + err) < 200


def test_the_policy_of_the_connection(capsys: Capture) -> None:
    heard: list[tuple[str, str]] = []
    source = "def stored(a):\n    print('stored', a)\n    return a\n"

    def run(log: Any) -> None:
        connection = apsw.Connection(":memory:")
        policy = udfvm.sqlite.Policy(allow_create=True, log=log)
        own = udfvm.udf(name="own", log=lambda text, stream: heard.append(("own", text)))(
            says.function
        )
        udfvm.sqlite.register(connection, says, own, policy=policy)
        connection.execute("SELECT vm_create('stored', 'python', ?, '(int) -> int')", (source,))
        assert list(connection.execute("SELECT vm_udf('stored', 1), says(2), own(3)")) == [
            (1, 2, 3)
        ]

    run("forward")
    assert tuple(capsys.readouterr()) == ("stored 1\nout 2\n", "err 2\n")
    run("drop")
    assert tuple(capsys.readouterr()) == ("", "")
    own = [("own", "out 3\n"), ("own", "err 3\n")]
    assert heard == own * 2
    heard.clear()
    run(lambda text, stream: heard.append((stream, text)))
    assert heard == [("stdout", "stored 1\n"), ("stdout", "out 2\n"), ("stderr", "err 2\n"), *own]


def test_what_a_callable_raises_ends_the_statement() -> None:
    def refuse(text: str, stream: str) -> None:
        raise ValueError(text)

    function = udfvm.udf(name="says", log=refuse)(says.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    with pytest.raises(apsw.SQLError, match="printed could not be passed on"):
        connection.execute("SELECT says(1)").fetchall()


def test_an_error_before_the_call_has_nothing_of_a_statement_before() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, says)
    with pytest.raises(apsw.SQLError):
        connection.execute("SELECT says(-1)").fetchall()

    @udfvm.udf(memory="64MiB")
    def measured(x: bytes) -> int:
        return len(x)

    with pytest.raises(udfvm.InputTooLargeError) as caught:
        measured(bytes(200 << 20))
    assert caught.value.output == ""


def test_callables_need_not_be_hashable() -> None:
    class Keeps(list[str]):
        def __call__(self, text: str, stream: str) -> None:
            self.append(text)

    kept = Keeps()
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, says, policy=udfvm.sqlite.Policy(log=kept))
    connection.execute("SELECT says(1)").fetchall()
    assert kept == ["out 1\n", "err 1\n"]
