"""Whatever call of the system fails, udfvm fails with an error that says so, or not at all. Nothing
hangs, no descriptor or mapping is lost, no database is harmed, and the next call is right. A
process that is killed leaves nothing that another would trust.

The usual run takes each place in the code that calls the system once. ``UDFVM_FAULTS=all`` takes
every call, in every way to fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ALL = os.environ.get("UDFVM_FAULTS") == "all"
USUAL = [
    ("build", "fail", "places"),
    ("build", "kill", "files"),
    ("statement", "fail", "places"),
]
EVERY = [
    (scenario, action, "all")
    for scenario in ("build", "reopen", "call", "jailed", "given", "statement")
    for action in ("fail", "fail_on", "kill", *(["short"] if scenario == "build" else []))
]
CODE = """
#include <stdint.h>
int twice(int x) { return 2 * x; }
int64_t doubled(int64_t x) { return 2 * x; }
"""
REACHED = {
    "build": {"ioctl", "mmap", "madvise", "clone", "malloc", "calloc", "realloc", "open", "openat",
              "pwritev", "write", "ftruncate", "fsync", "rename", "flock", "fcntl", "lseek",
              "fstat", "getrandom"},
    "reopen": {"ioctl", "mmap", "calloc", "openat", "flock", "read"},
    "call": {"ioctl", "mmap", "madvise", "clone", "calloc"},
    "jailed": {"socketpair", "sendmsg", "recvmsg", "clone", "mmap", "memfd_create", "calloc"},
    "given": {"calloc", "fcntl", "fstat", "madvise", "mmap", "mprotect", "recvmsg", "sendmsg"},
    "statement": {"ioctl", "mmap", "memfd_create", "clone", "strdup", "calloc"},
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="sanitizers are preloaded, and have allocators of their own"
)


def compiled(source: Path, target: Path, *flags: str) -> Path:
    usual = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *usual, *flags, source, "-o", target, "-ldl"], check=True)
    return target


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    return compiled(FOLDER / "failing_calls.c", folder / "failing_calls.so", "-fvisibility=hidden")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    (folder / "twice.c").write_text(CODE)
    return compiled(folder / "twice.c", folder / "twice.so")


@pytest.mark.long
@pytest.mark.parametrize(("scenario", "action", "which"), EVERY if ALL else USUAL)
def test_each_call_fails(
    preloaded: Path, library: Path, tmp_path: Path, scenario: str, action: str, which: str
) -> None:
    program = [sys.executable, FOLDER / "each_call.py", scenario, action]
    done = subprocess.run(
        [*program, tmp_path / "cache", library, which],
        env={**os.environ, "LD_PRELOAD": str(preloaded)},
        capture_output=True,
        text=True,
        timeout=None if ALL else 900,
    )
    assert done.returncode == 0, done.stderr
    *wrong, last = done.stdout.splitlines()
    assert not wrong, "\n".join(wrong)
    summary = json.loads(last)
    assert set(summary["names"]) >= REACHED[scenario]
    # threads of udfvm begin and end: a few of their calls are not there each time
    assert summary["taken"] > 10 and summary["missed"] <= summary["taken"] / 10
