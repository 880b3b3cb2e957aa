"""Python is typed, formatted and lint-clean, without exceptions for single files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sources import ROOT, check, name, sources

COMMANDS = {
    "lint": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "types": ("mypy",),
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_python(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_rule_of_branches_or_width_is_ignored() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert settings["line-length"] == 100
    assert settings["lint"]["mccabe"]["max-complexity"] == 12
    assert {"E", "C901", "PL"} <= set(settings["lint"]["select"])
    assert not {"E501", "C901", "PLR0911", "PLR0912"} & set(settings["lint"]["ignore"])


def test_no_file_breaks_a_rule_of_its_own() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "per-file-ignores" not in settings


def test_no_comment_hides_what_breaks_a_rule() -> None:
    hidden = re.compile(r"noqa: .*(?:C901|PLR09|E501)|noqa *$|#lizard |clang-format off|\bNOLINT")
    found = [
        f"{name(path)}:{number}"
        for path in sources(".py", ".pyi", ".c", ".cpp", ".h")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if hidden.search(line)
    ]
    check(found, "hidden from a rule")
