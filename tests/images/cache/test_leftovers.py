"""Files that killed builds left are removed, unless they are in use."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cached_images import PROGRAM, call, the

from udfvm.images import cache, cache_files


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


def test_a_file_that_another_process_is_about_to_sweep_is_not_written(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moments when a temporary file is made and locked, a sweep may lock it first."""
    swept: list[Path] = []
    written = threading.Event()
    sweepers: list[threading.Thread] = []
    make = tempfile.mkstemp

    def sweep(descriptor: int, path: Path) -> None:
        inode = f":{path.stat().st_ino} "
        while not written.is_set() and not any(
            " -> " in line and inode in line
            for line in Path("/proc/locks").read_text().splitlines()
        ):
            time.sleep(0.001)
        path.unlink()
        os.close(descriptor)

    def made(**options: Any) -> tuple[int, str]:
        descriptor, name = make(**options)
        if not swept:
            swept.append(Path(name))
            other = os.open(name, os.O_RDONLY)
            fcntl.flock(other, fcntl.LOCK_EX)
            sweepers.append(threading.Thread(target=sweep, args=(other, Path(name))))
            sweepers[0].start()
        return descriptor, name

    def build(descriptor: int) -> None:
        written.set()
        sweepers[0].join()
        os.write(descriptor, b"content")

    monkeypatch.setattr(tempfile, "mkstemp", made)
    cache_files.write_file(here / "x.bytes", build)
    assert (here / "x.bytes").read_bytes() == b"content"
    assert not swept[0].exists()
