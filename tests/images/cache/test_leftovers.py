"""Files that killed builds left are removed, unless they are in use."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cached_images import PROGRAM, call, the

from udfvm.images import cache


def leftovers(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.suffix in (".tmp", ".lock")}


def test_what_killed_builds_leave_is_swept_by_the_next(here: Path) -> None:
    for suffix in (".base", ".layer"):
        the(here, suffix).unlink()
    for wanted in ("*.tmp", "*.lock"):
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
        with subprocess.Popen(
            command, env={**os.environ, "UDFVM_CACHE": str(here)}, stdout=subprocess.DEVNULL
        ) as process:
            while not list(here.glob(wanted)):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert leftovers(here)
    assert call() == 42
    assert leftovers(here) == set()
    assert {path.suffix for path in here.iterdir()} == {".base", ".layer", ".verified"}


@pytest.mark.parametrize("name", ["x.tmp", "x.lock"])
def test_what_is_in_use_is_not_swept_however_old(here: Path, name: str) -> None:
    path = here / name
    with path.open("w") as file:
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(path, (0, 0))
        cache.prune()
        assert path.exists()
    cache.prune()
    assert not path.exists()


def test_notes_of_images_that_are_gone_are_swept(here: Path) -> None:
    the(here, ".layer").unlink()
    cache.prune()
    assert {path.suffix for path in here.iterdir()} == {".base", ".verified"}
    assert the(here, ".verified").name.endswith(".base.verified")
