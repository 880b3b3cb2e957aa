"""Builds LTP's tests of system calls with its own configure and make, but so that a test runs in
one process.

Nothing is written to LTP's folder: a copy is built. The harness's file `lib/tst_test.c` is compiled
with `one_process.h`, and everything else as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Container
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYSCALLS = "testcases/kernel/syscalls"
NEEDED = ("autoconf", "automake", "gcc", "make", "pkg-config")
FLAGS = ("-O2", "-Wall", "-Wextra", "-Iinclude", "-Iinclude/old")


def missing_tools() -> list[str]:
    """Returns the programs that a build needs and that this machine has not."""
    return [name for name in NEEDED if shutil.which(name) is None]


def version(source: Path) -> str:
    """Returns the commit of a clone of LTP, or its release."""
    command = ["git", "-C", str(source), "rev-parse", "HEAD"]
    if (source / ".git").exists():
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return (source / "VERSION").read_text().strip()


def build(source: Path, folder: Path, left_out: Container[str]) -> None:
    """Builds the tests of a folder of LTP in another, or what is missing there, but for some of
    its folders.

    A test that does not compile on this machine is left out, as LTP itself does.
    """
    done = folder / "built"
    if done.exists():
        return
    if not (folder / "configure.ac").exists():
        shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    if not (folder / "include/config.h").exists():
        _run(folder, "make", "autotools")
        _run(folder, "./configure")
    jobs = f"-j{os.cpu_count() or 1}"
    if not (folder / "lib/one_process.o").exists():
        _run(folder, "make", jobs, "-C", "lib", "libltp.a")
        _replace_harness(folder)
    for each in sorted((folder / SYSCALLS).iterdir()):
        if (each / "Makefile").exists() and each.name not in left_out:
            _run(folder, "make", jobs, "-k", "-C", f"{SYSCALLS}/{each.name}", check=False)
    done.touch()


def _replace_harness(folder: Path) -> None:
    """Puts the harness of one process into LTP's library."""
    (folder / "lib/tst_test.o").unlink(missing_ok=True)
    include = f"DEBUG_CFLAGS=-include {HERE / 'one_process.h'}"
    _run(folder, "make", "-C", "lib", "tst_test.o", include)
    one_process = ["-c", str(HERE / "one_process.c"), "-o", "lib/one_process.o"]
    _run(folder, "gcc", *FLAGS, *one_process)
    _run(folder, "ar", "rcs", "lib/libltp.a", "lib/tst_test.o", "lib/one_process.o")


def _run(folder: Path, *command: str, check: bool = True) -> None:
    """Runs a command of the build. What it prints goes to a file."""
    with (folder / "build.log").open("ab") as log:
        done = subprocess.run(command, cwd=folder, stdout=log, stderr=log)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: see {folder / 'build.log'}")


def programs(folder: Path) -> dict[str, Path]:
    """Returns the tests that were built, by name."""
    found = (path for path in (folder / SYSCALLS).rglob("*") if not path.suffix)
    return {path.name: path for path in found if _is_program(path)}


def _is_program(path: Path) -> bool:
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
