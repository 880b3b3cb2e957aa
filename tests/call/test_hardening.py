"""Hardened calls end as others, however they end, on threads that a filter stands around. They are
made in programs of their own, because a filter is for good.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "hardened_program.py"


def ends(*arguments: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return ends(UDFVM_HARDEN="0", UDFVM_JAIL="0")


def test_calls_without_it_have_no_filter(plain: dict[str, Any]) -> None:
    assert plain["filters"] == ["0"]
    assert plain["ends"]["prints(1)"] == "1"
    assert plain["ends"]["its thread"] == "{True}"
    assert plain["ends"]["Ctrl-C"].startswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["harden"], {}), ([], {"UDFVM_HARDEN": "1"})]
)
def test_they_end_as_others(
    plain: dict[str, Any], arguments: list[str], environment: dict[str, str]
) -> None:
    hardened = ends(*arguments, UDFVM_JAIL="0", **environment)
    assert hardened["ends"] == plain["ends"]
    assert hardened["filters"] == ["0", "2"]


def test_an_error_where_no_filter_is_permitted() -> None:
    """A thread that could have it finds no memory."""
    program = """
import resource
import udfvm
from column_functions import twice
from udfvm import harden
twice(1.0)
resource.setrlimit(resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
try:
    harden()
except udfvm.HardenError as error:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "jail=True" in str(error), error
    print(twice(2.0))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "UDFVM_HARDEN": "0", "PYTHONPATH": str(PROGRAM.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "4.0\n", done.stderr
