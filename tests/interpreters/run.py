"""Runs the suite's core on every CPython of this machine that udfvm supports.

Each gets a copy of the checkout and an environment of its own, in a folder that is kept. What
cannot be installed there is told, and skipped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from interpreters.found import Interpreter, find

ROOT = Path(__file__).resolve().parents[2]

# What depends on the version of CPython: how functions travel, are called, and what runs in guests.
CORE = ("tests/types", "tests/load", "tests/call", "tests/guest", "tests/images", "tests/cpython")


def copy_checkout(folder: Path) -> None:
    """Copies the files of the checkout that changed, and removes those that are gone."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    listing = folder / ".copied"
    before = set(listing.read_text().split("\0")) if listing.exists() else set()
    for name in before - wanted:
        (folder / name).unlink(missing_ok=True)
    for name in wanted:
        source, target = ROOT / name, folder / name
        if not target.exists() or target.stat().st_mtime_ns != source.stat().st_mtime_ns:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    listing.write_text("\0".join(sorted(wanted)))


def install(interpreter: Interpreter, folder: Path) -> str:
    """Makes an environment with udfvm and what its tests need. Returns "", or why it cannot."""
    environment = folder / ".venv"
    steps = [
        [str(interpreter.path), "-m", "venv", str(environment)],
        [str(environment / "bin" / "pip"), "install", "-q", "-e", ".[test]"],
    ]
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            return f"{' '.join(step)}: {''.join(last)}"
    return ""


def run_core(folder: Path, arguments: list[str]) -> int:
    """Runs the tests. Returns the exit status of pytest."""
    python = folder / ".venv" / "bin" / "python"
    environment = {**os.environ, "UDFVM_CACHE": str(folder / ".cache"), "PYTHONPATH": ""}
    command = [str(python), "-m", "pytest", *(arguments or CORE)]
    return subprocess.run(command, cwd=folder, env=environment).returncode


def main() -> int:
    """Runs what the command line says. Returns 1 if tests of an interpreter failed."""
    parser = argparse.ArgumentParser("tests/interpreters/run", description=__doc__)
    parser.add_argument("--python", type=Path, nargs="+", metavar="PATH", help="these alone")
    parser.add_argument("--list", action="store_true", help="print their paths, and run nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "interpreters")
    parser.add_argument("tests", nargs="*", help="arguments of pytest, behind --")
    options = parser.parse_args()
    if options.list:
        print("\n".join(str(each.path) for each in find(options.python)))
        return 0
    words = []
    failed = False
    for interpreter in find(options.python):
        folder = options.folder / interpreter.name
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{interpreter.name}: {interpreter.path}", flush=True)
        copy_checkout(folder)
        why = install(interpreter, folder)
        status = 0 if why else run_core(folder, options.tests)
        failed = failed or status != 0
        words.append(
            f"{interpreter.name}: " + (f"skipped: {why}" if why else f"exit status {status}")
        )
    print("\n".join(words or ["no CPython that udfvm supports is here"]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
