"""Errors as notebooks show them, made of what a guest wrote."""

from __future__ import annotations

import sysconfig
import traceback

import numpy as np
import pytest

import udfvm
from udfvm.tracebacks import MAX_LINES, traceback_lines

HEAD = "Traceback (most recent call last):\n"
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
    @udfvm.udf
    def inverse(x: float) -> float:
        return 1 / x

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


def test_other_forms_raise_without_frames_of_udfvm() -> None:
    @udfvm.udf
    def least(*values: float) -> float:
        return min(values) / 0

    @udfvm.aggregate
    class Failing:
        def step(self, value: float) -> None:
            raise ValueError(value)

        def finish(self) -> float:
            return 0.0

    for call in (lambda: least(1.0, 2.0), lambda: Failing(np.array([1.0])), lambda: Failing(1.0)):
        with pytest.raises(udfvm.Error) as raised:
            call()
        assert set(files_of(raised.value)) == {__file__}


def test_a_variable_keeps_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    @udfvm.udf
    def inverse(x: float) -> float:
        return 1 / x

    monkeypatch.setenv("UDFVM_FRAMES", "1")
    with pytest.raises(udfvm.UDFError) as raised:
        inverse(0.0)
    assert len(files_of(raised.value)) > 2
