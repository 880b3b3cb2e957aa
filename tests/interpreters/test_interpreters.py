"""The CPythons of a machine are found, each once."""

from __future__ import annotations

import sys
from pathlib import Path

from interpreters import found


def test_this_interpreter_is_found() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    (this,) = found.find([Path(sys.executable)])
    assert this.name == f"cpython-{version}"
    assert found.find([Path(sys.executable), this.path]) == [this]


def test_other_programs_are_none() -> None:
    assert found.find([Path("/bin/true"), Path("/bin/sh"), Path("/nonexistent")]) == []


def test_candidates_have_this_one() -> None:
    assert Path(sys.executable) in list(found.candidates())
