"""What functions print goes to the program's streams when the call ends, into errors, and to
``log=``.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest
from printing_functions import Capture, prints

import udfvm
from udfvm.texts import format_size


def test_it_appears_on_the_streams_of_the_program(capsys: Capture) -> None:
    prints.prepare()
    assert tuple(capsys.readouterr()) == ("", "")
    assert prints(1) == 1
    assert tuple(capsys.readouterr()) == ("out 1\n", "err 1\n")


BATCHES: list[Callable[[Any], Any]] = [
    np.array,
    pa.array,
    lambda values: pa.chunked_array([values]),
]


@pytest.mark.parametrize("make", BATCHES, ids=["numpy", "Arrow", "chunked"])
def test_batches(capsys: Capture, make: Callable[[Any], Any]) -> None:
    for _ in range(3):  # numpy's small batches take another way from the second on
        assert list(np.asarray(prints(make([1, 2])))) == [1, 2]
        assert tuple(capsys.readouterr()) == ("out 1\nout 2\n", "err 1\nerr 2\n")
    with pytest.raises(udfvm.UDFError) as caught:
        prints(make([1, -1]))
    assert caught.value.output == "out 1\nerr 1\nout -1\nerr -1\nand then"


def test_the_streams_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        prints(7)
        assert (out.getvalue(), err.getvalue()) == ("out 7\n", "err 7\n")
    monkeypatch.setattr(sys, "stdout", None)  # a program without a console
    assert prints(7) == 7


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
    function = udfvm.udf(timeout=2, name="prints", log=log)(prints.function)
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
        prints(-1)
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
    function = udfvm.udf(name="prints", log=logger)(prints.function)
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

    function = udfvm.udf(name="prints", log=refuse)(prints.function)
    for _ in range(2):
        with pytest.raises((kind, udfvm.HostFunctionError)) as caught:
            function(1)
        raised = caught.value if isinstance(caught.value, kind) else caught.value.__cause__
        assert isinstance(raised, kind)
        assert raised.args == ("out 1\n",)
    assert prints(1) == 1


def test_a_callable_may_call_functions(capsys: Capture) -> None:
    @udfvm.udf(log=lambda text, stream: prints(len(text)))
    def outer(x: int) -> int:
        print("12345", end="")
        return x

    assert outer(1) == 1
    assert capsys.readouterr().out == "out 5\n"


@pytest.mark.parametrize("limit", [0, 1, 100, 70_000, 200_000])
def test_past_the_limit_it_is_cut(capsys: Capture, limit: int) -> None:
    @udfvm.udf(max_log=limit)
    def chatters(x: int) -> int:
        import os
        import sys

        for _ in range(10):
            os.write(1, b"x" * x)
        print("never seen", file=sys.stderr)
        return x

    assert chatters(40_000) == 40_000
    out, err = capsys.readouterr()
    assert out == "x" * limit + f"\n[udfvm: output cut at {format_size(limit)}; raise max_log=]\n"
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
def test_values_that_log_cannot_be(log: Any) -> None:
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.udf(log=log)(prints.function)
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.table_function(columns={"a": int}, log=log)(lambda x: [])
    with pytest.raises(udfvm.SignatureError, match="log="):
        udfvm.from_wasm("(module)", "f", log=log)
    with pytest.raises(udfvm.Error, match="log="):
        udfvm.sqlite.Policy(log=log)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(0, ""), (1, ""), (2, "é"), (3, "é"), (4, "é"), (5, "é✓"), (8, "é✓"), (9, "é✓😀")],
)
def test_the_cut_is_between_characters(capsys: Capture, limit: int, kept: str) -> None:
    @udfvm.udf(max_log=limit)
    def writes(x: int) -> int:
        print("é✓😀", end="")
        return x

    writes(1)
    mark = "" if limit == 9 else f"\n[udfvm: output cut at {format_size(limit)}; raise max_log=]\n"
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
        assert prints(3) == 3
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, prints)
        assert connection.execute("SELECT prints(4)").fetchall() == [(4,)]


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
    with pytest.raises(udfvm.SignatureError, match=r"or a function that takes \(text, stream\)"):
        udfvm.udf(log=log)(prints.function)


def test_adapters_of_loggers(caplog: pytest.LogCaptureFixture) -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("test_output"), {})
    with caplog.at_level(logging.INFO, "test_output"):
        udfvm.udf(name="prints", log=adapter)(prints.function)(3)
    assert [record.getMessage() for record in caplog.records] == ["out 3", "err 3"]
