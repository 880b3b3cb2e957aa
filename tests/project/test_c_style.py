"""C is formatted by clang-format, and its functions are short and simple."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import lizard
from sources import ROOT, check, name, sources

MAX_LINES = 60
MAX_COMPLEXITY = 12


@cache
def functions() -> list[tuple[str, int, int]]:
    """Name with file, number of lines and complexity of each function."""
    paths = [str(path) for path in sources(".c", ".cpp", ".h")]
    return [
        (
            f"{name(Path(found.filename))}: {function.long_name.replace(' ', '')}"
            if function.name.isupper()  # a macro that defines a function
            else f"{name(Path(found.filename))}: {function.name}",
            function.length,
            function.cyclomatic_complexity,
        )
        for found in lizard.analyze_files(paths)
        for function in found.function_list
    ]


def test_functions_are_found() -> None:
    assert len(functions()) > 2500
    assert "udfvm/vmm/core/api.h" in map(name, sources(".h"))


def test_functions_are_short() -> None:
    check({name for name, lines, _ in functions() if lines > MAX_LINES}, "long functions")


def test_functions_are_simple() -> None:
    check(
        {name for name, _, complexity in functions() if complexity > MAX_COMPLEXITY},
        "complex functions",
    )


def test_c_is_formatted() -> None:
    formatter = Path(sys.executable).with_name("clang-format")
    done = subprocess.run(
        [formatter, "--dry-run", "-Werror", *sources(".c", ".cpp", ".h")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
