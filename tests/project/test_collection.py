"""The names of tests are the same in every process: pytest-xdist runs no test otherwise."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _collection(seed: int, options: Sequence[str]) -> subprocess.Popen[str]:
    """Begins to list all tests, with this seed of hashes."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"),
            *("-o", "addopts=--import-mode=importlib", *options, "tests"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT / "tests")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _names(collection: subprocess.Popen[str]) -> list[str]:
    output, _ = collection.communicate(timeout=600)
    assert collection.returncode == 0, output
    return [line for line in output.splitlines() if "::" in line]


def test_names_of_tests_have_no_hash_no_time_and_nothing_random() -> None:
    """The order of a set, a file's time of day and random bytes differ between processes."""
    one = _collection(1, ())
    other = _collection(2, ("-p", "another_clock"))
    names, others = _names(one), _names(other)
    assert len(names) > 1000
    assert not list(difflib.unified_diff(names, others, lineterm="", n=0))
