"""The extension in the documented programs without Python, and in Node's worker threads, with the
package better-sqlite3, that end in each way that there is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_sites import DOCUMENTED

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

needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed"
)
needs_headers = pytest.mark.skipif(
    not Path("/usr/include/sqlite3.h").exists(), reason="sqlite3.h is not installed"
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "udfvm-tests" / PACKAGE


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
    install(CACHE)
    functions = tmp_path_factory.mktemp("node") / "functions_of_workers.py"
    functions.write_text(FUNCTION)
    done = CliRunner().invoke(commands, ["seal", "--replace", str(functions)])
    assert done.exit_code == 0, done.output
    return CACHE / "node_modules"


@needs_node
@pytest.mark.parametrize("way", ["close", "leave", "exit", "terminate"])
def test_worker_threads_end(modules: Path, way: str) -> None:
    environment = {**os.environ, "NODE_PATH": str(modules)}
    command = ["node", PROGRAM, udfvm.sqlite.EXTENSION, way]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == ("5252\n" if way == "terminate" else "0 5252\n")


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(["node", "delays.js"], "4", marks=needs_node),
        pytest.param(["./delays"], "4.0", marks=needs_headers),
    ],
)
def test_the_documented_programs(command: list[str], number: str, tmp_path: Path) -> None:
    for name, text in DOCUMENTED.items():
        (tmp_path / name).write_text(text)
    if command[0] == "node":
        install(CACHE)
    else:
        compile = ["gcc", "-Wall", "-Wextra", "-Werror", "delays.c", "-o", "delays", "-lsqlite3"]
        subprocess.run(compile, cwd=tmp_path, check=True)
    functions, sealed = str(tmp_path / "functions.py"), str(tmp_path / "score.udfvm")
    done = CliRunner().invoke(commands, ["seal", functions, "score", "--output", sealed])
    assert done.exit_code == 0, done.output
    ran = subprocess.run(
        [*command, udfvm.sqlite.EXTENSION],
        cwd=tmp_path,
        env={**os.environ, "NODE_PATH": str(CACHE / "node_modules")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    argument = "argument 'dep_delay' (position 1) takes REAL or INTEGER; got TEXT"
    expected = f"{number}\nSQLITE_ERROR: UDF 'score', row 0: {argument}\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, expected, "")
