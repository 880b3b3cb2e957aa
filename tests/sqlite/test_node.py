"""The extension in Node's worker threads, with the package better-sqlite3: threads that end in each
way that there is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import udfvm.sqlite
from udfvm.cli import commands

PACKAGE = "better-sqlite3@12"
PROGRAM = Path(__file__).resolve().parent / "embedding" / "workers.js"
FUNCTION = """
import udfvm

@udfvm.udf(timeout=5)
def of_a_worker(value: int) -> int:
    return value + 1
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed"
)


def install(directory: Path) -> None:
    """The package, compiled where npm does not run its scripts, or has nothing compiled to fetch:
    without optimisation, which takes a minute. Skips the test where it is not to be had.
    """
    native = (
        directory / "node_modules" / "better-sqlite3" / "build" / "Release" / "better_sqlite3.node"
    )
    if native.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    npm = Path(shutil.which("npm") or "").resolve()
    compiler = npm.parent.parent / "node_modules" / "node-gyp" / "bin" / "node-gyp.js"
    headers = ["--nodedir=/usr"] if Path("/usr/include/node/node.h").exists() else []
    flags = {**os.environ, "CFLAGS": "-O0", "CXXFLAGS": "-O0"}  # behind the package's own
    for command, where in (
        ([npm, "install", "--no-audit", "--no-fund", "--prefix", directory, PACKAGE], directory),
        (
            ["node", compiler, "rebuild", "--release", *headers],
            directory / "node_modules" / "better-sqlite3",
        ),
    ):
        if native.exists():
            return
        try:
            done = subprocess.run(
                command, cwd=where, env=flags, capture_output=True, text=True, timeout=1200
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{PACKAGE} cannot be installed: {error}")
        if done.returncode:
            pytest.skip(f"{PACKAGE} cannot be installed: {done.stderr[-300:]}")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "udfvm-tests" / PACKAGE
    )
    install(cache)
    functions = tmp_path_factory.mktemp("node") / "functions_of_workers.py"
    functions.write_text(FUNCTION)
    done = CliRunner().invoke(commands, ["seal", "--replace", str(functions)])
    assert done.exit_code == 0, done.output
    return cache / "node_modules"


@pytest.mark.parametrize("way", ["close", "leave", "exit", "terminate"])
def test_worker_threads_end(modules: Path, way: str) -> None:
    environment = {**os.environ, "NODE_PATH": str(modules)}
    command = ["node", PROGRAM, udfvm.sqlite.EXTENSION, way]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == ("5252\n" if way == "terminate" else "0 5252\n")
