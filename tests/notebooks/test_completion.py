"""What help() and completion know of the functions that declare functions."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable
from typing import Any

import pytest

import udfvm

pytest.importorskip("IPython")
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell


@udfvm.udf
def half(x: float) -> float:
    return x / 2


OPTIONS = {"name", "memory", "timeout", "max_output", "max_log", "log", "pool", "data"}
DECLARING = [
    udfvm.udf,
    udfvm.aggregate,
    udfvm.table_function,
    udfvm.from_source,
    udfvm.from_c,
    udfvm.from_elf,
    udfvm.from_wasm,
    half.with_options,
]


@pytest.mark.parametrize("function", DECLARING, ids=lambda each: each.__name__)
def test_options_are_parameters(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert set(parameters) >= OPTIONS and "options" not in parameters
    assert all(
        parameters[name].kind is inspect.Parameter.KEYWORD_ONLY and parameters[name].annotation
        for name in OPTIONS
    )
    assert "timeout: 'float | None'" in pydoc.plain(pydoc.render_doc(function))
    assert function.__name__ in inspect.getsource(function)


def test_functions_show_their_own_parameters() -> None:
    assert list(inspect.signature(half).parameters) == ["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udfvm.udf(timeo", "timeout="),
        ("half.with_options(mem", "memory="),
        ("udfvm.Pool(ja", "jail="),
        ("half(", "x="),
        ("half.wi", "with_options"),
    ],
)
def test_notebooks_complete_them(text: str, expected: str) -> None:
    shell = InteractiveShell(user_ns={"udfvm": udfvm, "half": half})
    with provisionalcompleter():
        found = list(shell.Completer.completions(text, len(text)))
    assert expected in [each.text.lstrip(".") for each in found]
