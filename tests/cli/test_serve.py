"""The command ``udfvm serve``: what it prints, and how signals end it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_clients import LONG, Background, batch_of, exchange, exchange_with, running_call

from udfvm.cli.serve import _stop_at_signals

FUNCTIONS = """
    import time

    import udfvm

    def begins(x: float) -> float:
        print("begins", x, flush=True)
        return x

    @udfvm.udf(timeout=60, host_functions=[begins])
    def half(x: float) -> float:
        if x == 12:
            begins(x)
            time.sleep(1)
        while x == 13:
            begins(x)
            time.sleep(60)
        return x / 2

    @udfvm.table_function(columns={"i": int})
    def upto(count: int):
        yield from range(count)
"""


class Serving:
    """A running command."""

    def __init__(self, process: subprocess.Popen[str], until: str) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines: list[str] = []
        for line in process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(until):
                break
        self.location = self.lines[-1].removeprefix("listening on ") if self.lines else ""

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ended(self) -> tuple[int, str]:
        """Waits for the end. Returns the status, and what standard error has."""
        _, errors = self.process.communicate(timeout=LONG)
        return self.process.returncode, errors


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, until: str = "listening on ") -> Iterator[Serving]:
    (folder / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    code = "from udfvm.cli import main; main()"
    command = [sys.executable, "-uc", code, "serve", "--functions", "functions.py"]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Serving(process, until)
    finally:
        process.kill()
        process.communicate()


def test_it_serves_and_ends_with_a_signal(tmp_path: Path) -> None:
    with serve(tmp_path) as serving:
        assert serving.lines[:2] == [
            "UDF half(x: double) -> double",
            "table UDF upto(count: int64) -> (i: int64)",
        ]
        assert (
            exchange(serving.location, "half", batch_of(pa.array([3.0])))["half"][0].as_py() == 1.5
        )
        serving.process.send_signal(signal.SIGINT)
        assert serving.ended() == (0, "")


def test_a_signal_lets_a_batch_end(tmp_path: Path) -> None:
    with serve(tmp_path) as serving:
        with (
            running_call(serving.location, "half", batch_of(pa.array([12.0]))) as reader,
            running_call(serving.location, "upto", batch_of(pa.array([3]))) as other,
        ):
            assert other.read_chunk().data.num_rows == 3
            assert serving.next_line() == "begins 12.0\n"
            serving.process.send_signal(signal.SIGTERM)
            assert serving.next_line().startswith("stopping: the batches that run end")
            with pytest.raises(fl.FlightUnavailableError, match="the server stops"):
                other.read_chunk()
            assert reader.read_chunk().data["half"].to_pylist() == [6.0]
            with pytest.raises(fl.FlightUnavailableError):
                reader.read_chunk()
        assert serving.ended() == (0, "")


def test_a_second_signal_ends_a_batch(tmp_path: Path) -> None:
    with serve(tmp_path) as serving:
        endless = batch_of(pa.array([13.0]))
        call = Background(lambda: exchange(serving.location, "half", endless))
        assert serving.next_line() == "begins 13.0\n"
        serving.process.send_signal(signal.SIGTERM)
        assert serving.next_line().startswith("stopping")
        serving.process.send_signal(signal.SIGINT)
        assert isinstance(call.outcome(), fl.FlightUnavailableError)
        assert serving.ended() == (0, "")


def test_a_second_signal_may_come_while_the_first_is_handled() -> None:
    class Server:
        stops: ClassVar[list[bool]] = []

        def begin_stop(self, *, at_once: bool) -> None:
            self.stops.append(at_once)
            if not at_once:
                signal.raise_signal(signal.SIGINT)

    before = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)]
    try:
        _stop_at_signals(Server(), is_silent=True)
        signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert Server.stops == [False, True]


def test_tokens_are_in_a_file(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    path = tmp_path / "tokens"
    path.write_text(f"shop {token}\n")
    path.chmod(0o600)
    with serve(tmp_path, "--token-file", str(path)) as serving:
        line = Path(f"/proc/{serving.process.pid}/cmdline").read_bytes()
        assert token.encode() not in line
        with fl.connect(serving.location) as client:
            headers = [(b"authorization", f"Bearer {token}".encode())]
            batch = batch_of(pa.array([3.0]))
            assert exchange_with(client, "half", batch, headers=headers).num_rows == 1
            with pytest.raises(fl.FlightUnauthenticatedError):
                exchange_with(client, "half", batch)


def test_it_says_where_it_listens_as_json(tmp_path: Path) -> None:
    with serve(tmp_path, "--json", until="}\n") as serving:
        told = json.loads("\n".join(serving.lines))
        assert told["functions"][0] == {
            "name": "half",
            "form": "scalar",
            "signature": "(x: double) -> double",
        }
        assert exchange(told["location"], "upto", batch_of(pa.array([3]))).num_rows == 3
        serving.process.send_signal(signal.SIGTERM)
        assert serving.ended() == (0, "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--listen", "nowhere"], "udfvm: listen='nowhere' is not an address"),
        (["--functions", "absent.py"], "there is no file"),
        (["--functions", "functions.py:hafl"], "has no UDF 'hafl'; it has half and upto"),
        (["--token-file", "functions.py"], "chmod 600"),
        (["--tls-key", "functions.py"], "a certificate and its key"),
        (["--calls", "0"], "calls=0 must be from 1 to 4096"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    with serve(tmp_path, *arguments) as serving:
        status, errors = serving.ended()
        assert status == 1 and reason in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def f(:\n", "at line 1: SyntaxError: "),
        ("import os\nimport no_such_module\n", "at line 2: ModuleNotFoundError: "),
    ],
)
def test_a_file_that_fails_is_told_on_one_line(tmp_path: Path, code: str, wanted: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    command = "from udfvm.cli import main; main()"
    arguments = ["serve", "--functions", "mine.py", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"udfvm: --functions: mine.py fails {wanted}")
    assert len(done.stderr.splitlines()) == 1


def test_memory_of_batches_serves_the_next_ones() -> None:
    code = """
        import ctypes, resource, sys

        if sys.argv[1] == "kept":
            from udfvm.cli.serve import keep_freed_memory
            keep_freed_memory()

        def faults(rounds):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(rounds):
                blocks = [bytes([1]) * (3 << 20) for _ in range(6)]
                del blocks
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        faults(3)
        print(faults(4))
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    kept, dropped = (
        int(subprocess.run([*program, each], capture_output=True, check=True, timeout=100).stdout)
        for each in ("kept", "dropped")
    )
    assert kept < 1000 < dropped
