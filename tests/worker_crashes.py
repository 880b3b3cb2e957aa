"""What a process of pytest-xdist was doing when it ended, at the end of the session's output.

pytest-xdist names the test that ran, and goes on with a new process. The reason stands far above
that, or nowhere: Python's own report of a signal such as SIGSEGV, or the test before, whose thread
did the damage.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

_FOLDER = "UDFVM_TEST_WORKERS"  # environment: where each process writes what it does
_TAIL = 80  # lines that are shown


class Controller:
    """In the process that starts the others."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="udfvm-workers-"))
        self._ended: list[str] = []
        os.environ[_FOLDER] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            name = str(node.gateway.id)
            lines = (self._folder / name).read_text(errors="replace").splitlines()
            self._ended.append("\n".join([f"{name} ended: {error}", *lines[-_TAIL:]]))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for each in self._ended:
            terminalreporter.section("a process of the tests ended")
            terminalreporter.write_line(each)

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder)


class Worker:
    """In each process that runs tests."""

    def __init__(self) -> None:
        path = Path(os.environ[_FOLDER], os.environ["PYTEST_XDIST_WORKER"])
        self._file = path.open("w", buffering=1)
        faulthandler.enable(self._file)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._file.write(nodeid + "\n")


def plugin(config: pytest.Config) -> Controller | Worker | None:
    """Returns what takes note of it in this process; None if there is no other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return Worker() if _FOLDER in os.environ else None
    return Controller() if config.getoption("numprocesses", None) else None
