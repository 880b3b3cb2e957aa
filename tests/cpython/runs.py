"""Runs modules of CPython's own tests in processes, and gathers the outcome of each test.

A test that crashes, or is silent for too long, ends its process. Another process then runs what is
left of its module.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# Seconds of a module, without those of tests that ended its process; and how many of these there
# may be.
MODULE_SECONDS = 120.0
MOST_LOST = 10
# Seconds that a test may be silent: on the host, and at least in a micro-VM.
HOST_SILENCE = 60.0
GUEST_SILENCE = 20.0
# How much longer than on the host a test in a micro-VM may take.
SLOWER = 4.0

BETWEEN = "between tests"
DONE, ENOUGH = "done", "enough"  # the first as inside.py says, which not every CPython can import
TIMED_OUT, CRASHED = "timed out", "crashed"
LOST = (TIMED_OUT, CRASHED)

Line = dict[str, Any]


@dataclass
class Outcome:
    """What became of a test."""

    outcome: str
    detail: str = ""
    seconds: float = 0.0


@dataclass
class Outcomes:
    """What became of a module."""

    tests: dict[str, Outcome] = field(default_factory=dict)
    # Modules and classes whose set-up was skipped or failed.
    setups: dict[str, Outcome] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, stored: Line) -> Outcomes:
        """Returns what `dataclasses.asdict` stored."""
        tests, setups = (
            {name: Outcome(**each) for name, each in stored[kind].items()}
            for kind in ("tests", "setups")
        )
        return cls(tests, setups, stored["planned"], stored["seconds"])

    def longest(self) -> float:
        """Seconds of the test that took longest."""
        return max((each.seconds for each in self.tests.values()), default=0.0)


class Process:
    """A process that runs tests."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            command,
            env={**environment, "TMPDIR": self._home.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    def ask(self, request: Line, silence: float) -> Iterator[Line]:
        """Yields what the process says of a module until it says that this ended, or ends.

        Raises TimeoutError where it is silent for so many seconds.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(silence):
                received = os.read(self._process.stdout.fileno(), 1 << 16)
                if not received:
                    return
                *lines, rest = (rest + received).split(b"\n")
                for line in map(json.loads, lines):
                    yield line
                    if "end" in line:
                        return
        raise TimeoutError

    def end(self) -> str:
        """Ends the process and what it started; returns how it ended."""
        try:
            status: int | None = self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._errors.seek(0)
        errors = self._errors.read()[-1000:].decode(errors="replace")
        for each in (self._process.stdin, self._process.stdout, self._errors, self._home):
            assert each is not None
            each.cleanup() if each is self._home else each.close()  # type: ignore[attr-defined]
        return f"exit status {status} {errors}"


class Side:
    """The host, or micro-VMs: runs modules in processes of a kind."""

    def __init__(self, command: list[str], environment: dict[str, str], *, lasting: bool) -> None:
        self._command = command
        self._environment = environment
        self._lasting = lasting
        self._process: Process | None = None

    def run(self, module: str, silence: float) -> Outcomes:
        """Runs a module."""
        gathering = _Gathering(module, silence)
        while True:
            process = self._process or Process(self._command, self._environment)
            self._process = None
            ended, status = gathering.from_process(process), ""
            if ended == DONE and self._lasting:
                self._process = process
            else:
                status = process.end()
            if ended in (DONE, ENOUGH) or not gathering.lose(ended or status):
                return gathering.outcomes

    def close(self) -> None:
        """Ends the process that waits for the next module."""
        if self._process is not None:
            self._process.end()


class _Gathering:
    """Gathers the outcomes of a module from one process after the other."""

    def __init__(self, module: str, silence: float) -> None:
        self.outcomes = Outcomes()
        self._module = module
        self._silence = silence
        self._lost = 0
        self._running: tuple[str, float] | None = None

    def from_process(self, process: Process) -> str:
        """Runs what is left of the module in a process. Returns how that ended."""
        self._running = None
        path = [each for each in sys.path if each and Path(each) not in (HERE, HERE.parent)]
        request = {"module": self._module, "done": list(self.outcomes.tests), "path": path}
        began, before = time.monotonic(), self.outcomes.seconds
        try:
            for line in process.ask(request, self._silence):
                self.outcomes.seconds = before + time.monotonic() - began
                if "end" in line:
                    return f"{line['end']} {line.get('detail', '')}".strip()
                self._take(line)
                if self.outcomes.seconds > MODULE_SECONDS:
                    return ENOUGH
        except TimeoutError:
            return TIMED_OUT
        return ""

    def _take(self, line: Line) -> None:
        if "tests" in line:
            self.outcomes.planned = line["tests"]
        elif "start" in line:
            self._running = line["start"], time.monotonic()
        elif "setup" in line:
            self.outcomes.setups[line["setup"]] = Outcome(line["outcome"], line["detail"])
        else:
            seconds = time.monotonic() - self._running[1] if self._running else 0.0
            outcome = Outcome(line["outcome"], line["detail"], round(seconds, 3))
            self.outcomes.tests[line["test"]] = outcome
            self._running = None

    def lose(self, how: str) -> bool:
        """Notes the test that ended the process. Returns True if others may follow."""
        outcome = Outcome(TIMED_OUT if how == TIMED_OUT else CRASHED, how)
        if self._running is None:
            self.outcomes.setups[BETWEEN] = outcome
            return False
        name, since = self._running
        outcome.seconds = round(time.monotonic() - since, 3)
        self.outcomes.tests[name] = outcome
        self._lost += 1
        return self._lost < MOST_LOST


class Runner:
    """Runs modules on the host and in micro-VMs, one after the other."""

    def __init__(self) -> None:
        interpreter = os.path.realpath(sys.executable)
        alike = {"LANG": "C.UTF-8", "PATH": "/usr/bin", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
        home = tempfile.gettempdir()
        command = [interpreter, "-P", "-S", "-s", "-B", str(HERE / "inside.py")]
        self._host = Side(command, {**alike, "HOME": home}, lasting=False)
        path = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
        command = [sys.executable, "-m", "cpython.machine"]
        self._guest = Side(command, {**os.environ, "PYTHONPATH": path}, lasting=True)

    def run(self, module: str) -> tuple[Outcomes, Outcomes]:
        """Returns what became of a module on the host and in micro-VMs."""
        host = self._host.run(module, HOST_SILENCE)
        guest = self._guest.run(module, max(GUEST_SILENCE, SLOWER * host.longest()))
        return host, guest

    def close(self) -> None:
        """Ends the processes that wait."""
        self._guest.close()
