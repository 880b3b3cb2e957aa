"""The command ``udfvm top``, beside running programs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from rich.console import Console

from udfvm.cli.top_tables import function_table, heading, pool_table

LONG = 120.0  # seconds
SEES_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
MAIN = "from udfvm.cli import main; main()"
PROGRAM = """
    import sys
    import udfvm

    @udfvm.udf
    def half(x: float) -> float:
        return x / 2

    for x in range(3):
        half(x)
    print("ready", flush=True)
    for line in sys.stdin:
        half(1.0)
        print("called", flush=True)
"""


class Observed:
    """A program that is observed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process = process
        self.input: IO[str] = process.stdin
        self.output: IO[str] = process.stdout

    def call(self) -> None:
        self.input.write("call\n")
        self.input.flush()
        assert self.output.readline() == "called\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}


@contextlib.contextmanager
def observed(environment: dict[str, str], program: str = PROGRAM) -> Iterator[Observed]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**environment, "UDFVM_OBSERVE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        found = Observed(process)
        assert found.output.readline() == "ready\n"
        yield found
        found.input.close()


def top(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "top", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG, env=environment)


def test_a_running_program(environment: dict[str, str], tmp_path: Path) -> None:
    with observed(environment) as program:
        pid = program.process.pid
        done = top(environment, pid, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        (function,) = found["functions"]
        assert (function["function"], function["calls"], function["rows"]) == ("half", 3, 3)
        (image,) = (image for pool in found["pools"] for image in pool["images"])
        assert image["live"] == image["idle"] > 0 and image["memory_bytes"] > 0
        program.call()
        (function,) = json.loads(top(environment, pid, "--json").stdout)["functions"]
        assert function["calls"] == 4
        text = top(environment, pid, "--once", "--interval", "0.1").stdout
        assert f"process {pid} · -c · " in text and ", 0 in use" in text
        for line in ("pool", "default", "function", "half"):
            assert any(each.startswith(line) for each in text.splitlines()), text
        assert top(environment, pid).stdout.count("half") == 1  # a pipe is no terminal
    assert not list((tmp_path / "udfvm").iterdir())


def test_several_programs_and_one_that_was_killed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with observed(environment) as first, observed(environment) as second:
        done = top(environment)
        assert done.returncode == 1
        assert "several programs are observed: name one of " in done.stderr
        assert str(first.process.pid) in done.stderr and str(second.process.pid) in done.stderr
        second.process.kill()
        second.process.wait(LONG)
        assert len(list((tmp_path / "udfvm").iterdir())) == 2
        done = top(environment, second.process.pid)
        assert done.returncode == 1 and "udfvm: there is no process" in done.stderr
        assert len(list((tmp_path / "udfvm").iterdir())) == 1


def test_a_terminal_until_ctrl_c_and_until_the_program_ends(environment: dict[str, str]) -> None:
    with observed(environment) as program:
        for stop in (True, False):
            ours, theirs = pty.openpty()
            command = [sys.executable, "-c", SEES_CTRL_C + MAIN, "top", str(program.process.pid)]
            command += ["--interval", "0.1"]
            with subprocess.Popen(
                command,
                env={**environment, "TERM": "xterm", "COLUMNS": "120"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            ) as process:
                os.close(theirs)
                shown = read_until(ours, b"half")
                if stop:
                    process.send_signal(signal.SIGINT)
                else:
                    program.input.close()
                shown += read_until(ours, None)
                assert process.wait(LONG) == 0
            os.close(ours)
            assert b"\x1b[?1049h" in shown and b"\x1b[?1049l" in shown  # as it was before
            assert (b"has ended" in shown) is not stop
            assert b"Traceback" not in shown


def read_until(terminal: int, word: bytes | None) -> bytes:
    shown = b""
    with contextlib.suppress(OSError):  # the command has ended
        while (word is None or word not in shown) and (part := os.read(terminal, 4096)):
            shown += part
    return shown


def test_children_of_a_program_that_the_environment_observes(environment: dict[str, str]) -> None:
    program = """
        import os, sys
        import udfvm

        pid = os.fork()
        if pid == 0:
            sys.stdin.read()
            os._exit(0)
        print("ready", flush=True)
        print(pid, flush=True)
        sys.stdin.read()
        os.waitpid(pid, 0)
    """
    with observed(environment, program) as parent:
        child = int(parent.output.readline())
        for pid in (parent.process.pid, child):
            found: dict[str, Any] = json.loads(top(environment, pid, "--json").stdout)
            assert found["pid"] == pid


# ---- The tables ----


def told(seconds: float, calls: int, **others: Any) -> dict[str, Any]:
    function = {
        "function": "f\x1b[31m[bold]",
        "pool": 0,
        "calls": calls,
        "rows": calls * 100,
        "errors": {"UDFError": 2, "CallTimeoutError": 1},
        **{f"{name}_seconds": share for name, share in zip(NAMES, (1, 2, 3, 4), strict=True)},
    }
    image = {"image": "abc", "live": 3, "in_use": 1, "idle": 2, "memory_bytes": 3 << 20}
    pool = {"name": "p", "size": 8, "jailed": True, "closed": False, "images": [image]}
    return {
        "pid": 7,
        "program": "app.py",
        "seconds": seconds,
        "backend": "micro-vm",
        "pools": [pool],
        "functions": [function],
        "functions_left_off": 0,
        **others,
    }


NAMES = ("host", "copy", "guest", "restore")


def lines(shown: Any) -> list[str]:
    out = Console(width=200)
    with out.capture() as captured:
        out.print(shown)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_rates_and_shares() -> None:
    (_, line) = lines(function_table(told(10.0, 100), told(12.0, 150)))
    assert line == r"f\x1b[31m[bold] p 150 25 2,500 3 10 s 10% 20% 30% 40%"
    (_, line) = lines(function_table({}, told(12.0, 150)))
    assert line.split()[3:5] == ["-", "-"]
    assert (
        lines(function_table({}, told(1.0, 1, functions_left_off=3)))[-1] == "and 3 functions more"
    )


def test_pools_and_memory() -> None:
    (_, line) = lines(pool_table(told(1.0, 1)))
    assert line == "p abc 8 3 1 2 3 MiB jailed"
    assert "memory 3 MiB" in heading(told(1.0, 1)).plain
    assert "NOT ISOLATED" in heading(told(1.0, 1, backend="unsafe-inprocess")).plain
    unknown = told(1.0, 1)
    unknown["pools"][0]["images"][0]["memory_bytes"] = None
    assert heading(unknown).plain.endswith("memory -")
