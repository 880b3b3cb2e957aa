"""Errors as notebooks show them, made of what a guest wrote."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import udfvm
from udfvm.tracebacks import MAX_LINES, is_of_udf, traceback_lines

HEAD = "Traceback (most recent call last):\n"
PACKAGE = f"{Path(udfvm.__file__).parent}/"
PANDAS = sysconfig.get_paths()["purelib"] + "/pandas/core/series.py"


def shown(guest_traceback: str) -> list[str]:
    error = udfvm.UDFError("ValueError", "no", guest_traceback, "f", 3)
    return traceback_lines(error)


def frame(file: str, line: int) -> str:
    return f'  File "{file}", line {line}, in g\n    x = y\n        ^\n'


def test_the_type_and_the_row_come_first() -> None:
    assert shown("")[0] == "UDFError: UDF 'f', row 3: ValueError: no"
    assert len(shown("")) == 1


def test_adjacent_frames_of_a_library_are_one_line() -> None:
    mine, theirs = frame("/home/me/f.py", 4), frame(PANDAS, 7)
    lines = shown(HEAD + mine + theirs + theirs + mine + "ValueError: no\n")
    assert lines[2:] == [
        "In the micro-VM:",
        '  File "/home/me/f.py", line 4, in g',
        "    x = y",
        "        ^",
        "  ... 2 frames of pandas",
        '  File "/home/me/f.py", line 4, in g',
        "    x = y",
        "        ^",
    ]


def test_advice_follows_the_frames_of_the_micro_vm() -> None:
    advice = "udfvm: a micro-VM has no files " + "of this machine " * 9
    lines = shown(HEAD + frame("/home/me/f.py", 4) + "OSError: no\n" + advice)
    assert lines[-4:-2] == ["        ^", ""] and all(len(line) <= 100 for line in lines)
    assert " ".join(lines[-2:]) == advice.removeprefix("udfvm: ").rstrip()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("UDF 'f', row 3: ValueError: odd", True),
        ("UDF 'f': the call did not end within 1 s", True),
        ("Invalid Input Error: UDFError: UDF 'f', row 0 of its batch: ValueError: odd", True),
        ("(sqlite3.OperationalError) UDF 'f': ValueError", False),
        ("UDF", False),
        ("no function of the name UDF 'f'", False),
        (HEAD + "UDF 'f': ValueError", False),
    ],
)
def test_texts_that_engines_make_of_errors(text: str, wanted: bool) -> None:
    assert is_of_udf(text) == wanted


def test_what_one_error_caused_is_shown_after_it() -> None:
    between = "\nThe above exception was the direct cause of the following exception:\n\n"
    mine = frame("/home/me/f.py", 4)
    lines = shown(HEAD + mine + "KeyError: 'a'\n" + between + HEAD + mine + "ValueError: no\n")
    assert sum(line.startswith("  File") for line in lines) == 2


def test_a_long_traceback_is_cut_in_the_middle() -> None:
    frames = "".join(frame("/home/me/f.py", number) for number in range(1000))
    lines = shown(HEAD + frames + "RecursionError: deep\n")
    assert len(lines) <= MAX_LINES + 4
    assert "line 0, in g" in lines[3] and lines[-3].endswith("line 999, in g")
    assert f"  ... {3000 - MAX_LINES} lines" in lines


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "\n" * 1000,
        "  File",
        '  File "", line 99999999999999999999999, in \n',
        '  File "<script>alert(1)</script>", line 1, in f\n    <b>\n',
        "  " * 10_000,
        HEAD * 100,
        '  File "a" * 10, line x, in f\n',
        "\x1b[31mred\x00\u202e",
    ],
)
def test_whatever_a_guest_writes_is_text(forged: str) -> None:
    error = udfvm.UDFError("ValueError", "no", HEAD + forged, "f")
    lines = traceback_lines(error)
    assert lines[0].startswith("UDFError: UDF 'f': ValueError: no")
    assert len(lines) <= MAX_LINES + 10
    assert not any("\x1b" in line or "\x00" in line or "\u202e" in line for line in lines)
    html = error._repr_html_()
    assert html.startswith("<pre>") and "<script>" not in html and "<b>" not in html


def test_frames_of_udfvm_are_hidden_and_those_of_the_program_are_not() -> None:
    with pytest.raises(udfvm.UDFError) as raised:
        inverse(0.0)
    lines = traceback_lines(raised.value)
    assert "    return 1 / x" in lines and "    inverse(0.0)" in lines
    assert not any("/udfvm/call/" in line for line in lines)


def test_the_cause_of_an_error_is_shown_unless_the_text_has_it() -> None:
    def price(name: str) -> float:
        raise LookupError("no such thing as " + name)

    @udfvm.udf(host_functions=[price])
    def cost(name: str) -> float:
        return price(name)

    with pytest.raises(udfvm.HostFunctionError) as raised:
        cost("tea")
    lines = traceback_lines(raised.value)
    assert any("LookupError: no such thing as tea" in line for line in lines)


def own_frames(error: BaseException) -> list[str]:
    """Lines that Python prints of an error with files of udfvm."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [line for line in lines if line.startswith(f'  File "{PACKAGE}')]


def files_of(error: BaseException) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("calls", [1, 300], ids=["the first call", "a call in C"])
def test_calls_raise_without_frames_of_udfvm(calls: int) -> None:
    @udfvm.udf
    def ratio(a: int, b: int) -> float:
        return a / b

    for _ in range(calls - 1):
        ratio(1, 1)
    for arguments in [(1, 0), ("a", 1), (1,), (np.array([1, 2]), np.array([1, 0]))]:
        with pytest.raises(udfvm.Error) as raised:
            ratio(*arguments)
        assert files_of(raised.value) == [__file__]


@udfvm.udf
def inverse(x: float) -> float:
    return 1 / x


@udfvm.table_function(columns={"y": float})
def inverses(x: float) -> Iterator[float]:
    yield 1 / x


@udfvm.aggregate
class Failing:
    def step(self, value: float) -> None:
        raise ValueError(value)

    def finish(self) -> float:
        return 0.0


@udfvm.udf
def least(*values: float) -> float:
    return min(values) / 0


class Writer:
    def write_batch(self, batch: pa.RecordBatch) -> None:
        raise AssertionError("no batch is made")


TABLE = pa.table({"x": [1.0, 0.0]})
READER = pa.RecordBatchReader
FIELD = ds.field("x")
#: What fails in every way that a user calls something of udfvm.
WAYS: dict[str, Callable[[], object]] = {
    "variadic": lambda: least(1.0, 2.0),
    "an aggregate": lambda: Failing(np.array([1.0])),
    "an aggregate's arguments": lambda: Failing(1.0),
    "rows": lambda: list(inverses(0.0)),
    "rows' arguments": lambda: list(inverses("a")),
    "batches of rows": lambda: list(inverses.batches(0.0)),
    "map": lambda: inverse.map(TABLE),
    "map with an unknown option": lambda: cast(Any, inverse).map(TABLE, colums="x"),
    "map without such a column": lambda: inverse.map(TABLE, columns="z"),
    "map without such a file": lambda: inverse.map("/nonexistent.parquet"),
    "map with a reader": lambda: inverse.map(TABLE, output=READER).read_all(),
    "map with a writer": lambda: inverse.map(TABLE, output=Writer()),
    "map of rows": lambda: inverses.map(TABLE),
    "map of rows with a reader": lambda: inverses.map(TABLE, output=READER).read_all(),
    "map of an aggregate": lambda: Failing.map(TABLE, columns="x"),
    "an expression": lambda: ds.dataset(TABLE).to_table(columns={"y": inverse.expr(FIELD)}),
    "an expression's arguments": inverse.expr,
    "declaring": lambda: udfvm.udf(lambda x: x),
    "a decorator": lambda: udfvm.udf(timeout=1)(lambda x: x),
    "a decorator of rows": lambda: udfvm.table_function(columns={"y": int})(lambda x: x),
    "a decorator of aggregates": lambda: udfvm.aggregate(vectorized=True)(object),
    "no argument": cast(Any, udfvm.from_wasm),
    "text": lambda: udfvm.from_source("def f(x): return 1"),
    "an expression as text": lambda: udfvm.expression("a +", a=float),
    "a script": lambda: udfvm.run("1 / 0"),
    "options": lambda: inverse.with_options(memory=-1),
    "an image": lambda: inverse.with_options(packages=["no_such_package"]).image,
    "preparing": lambda: udfvm.prepare(cast(Any, 3)),
    "a pool": lambda: udfvm.Pool(size=0),
    "warming": lambda: (
        udfvm.Pool().warm(inverse.with_options(packages=["no_such_package"])).result()
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_raises_without_frames_of_udfvm(way: str) -> None:
    with pytest.raises((udfvm.Error, TypeError)) as raised:
        WAYS[way]()
    assert not own_frames(raised.value)
    assert files_of(raised.value)[0] == __file__


def test_what_an_error_came_of_has_no_frames_of_udfvm() -> None:
    def price(name: str) -> float:
        raise LookupError(name)

    @udfvm.udf(host_functions=[price])
    def cost(name: str) -> float:
        return price(name)

    with pytest.raises(udfvm.HostFunctionError) as raised:
        cost("tea")
    assert not own_frames(raised.value)
    assert "    raise LookupError(name)" in traceback_lines(raised.value.__cause__ or raised.value)


def test_a_variable_keeps_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, shown_whole in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("UDFVM_DEBUG", value)
        with pytest.raises(udfvm.UDFError) as raised:
            inverse(0.0)
        assert (len(files_of(raised.value)) > 2) == shown_whole
        notebook = raised.value._render_traceback_()
        assert any("/udfvm/functions/scalar.py" in line for line in notebook) == shown_whole
