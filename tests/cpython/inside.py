"""Runs one module of CPython's own tests, and records the outcome of each test.

The same code runs in a micro-VM, as a user module of a function, and in a process of the host, as a
program. It takes a line of JSON: the module, and the tests of it that are done. It imports nothing
but CPython, so that nothing else differs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import signal
import sys
import sysconfig
import tempfile
import traceback
import types
import unittest
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from test import support

# Bytes of a traceback that are kept: its end says what happened.
DETAIL = 1500
SEED = 20_240_101
# How a run ends that was not ended by a test.
DONE = "done"

Record = Callable[[str], object]
Request = dict[str, Any]


class Recorder(unittest.TestResult):
    """Records the outcome of each test as a line of JSON: when it starts and when it ends."""

    # What a test counts as that has several outcomes, as those with subtests do: the first.
    ORDER = ("error", "failed", "unexpected success", "skipped", "expected failure", "passed")

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record
        self._outcomes: list[tuple[str, str]] = []

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcomes = []
        self._record(json.dumps({"start": name_of(test)}))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        found = dict(reversed(self._outcomes))
        outcome = next((each for each in self.ORDER if each in found), "passed")
        line = {"test": name_of(test), "outcome": outcome, "detail": found.get(outcome, "")}
        self._record(json.dumps(line))
        self._outcomes = []

    def _add(self, test: object, outcome: str, detail: str) -> None:
        if isinstance(test, unittest.TestCase):
            self._outcomes.append((outcome, detail))
        else:  # what unittest has in the place of a class or module whose set-up failed
            line = {"setup": str(test), "outcome": outcome, "detail": detail}
            self._record(json.dumps(line))

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._add(test, "passed", "")

    def addError(self, test: unittest.TestCase, err: object) -> None:
        self._add(test, "error", described(err))

    def addFailure(self, test: unittest.TestCase, err: object) -> None:
        self._add(test, "failed", described(err))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._add(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: object) -> None:
        self._add(test, "expected failure", described(err))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._add(test, "unexpected success", "")

    def addSubTest(self, test: unittest.TestCase, subtest: object, err: object) -> None:
        if err is not None:
            failed = issubclass(err[0], test.failureException)  # type: ignore[index]
            self._add(test, "failed" if failed else "error", described(err))


def described(err: object) -> str:
    """Returns the end of the traceback of `sys.exc_info()`."""
    return "".join(traceback.format_exception(*err))[-DETAIL:]  # type: ignore[misc]


def all_tests(suite: unittest.TestSuite) -> Iterable[unittest.TestCase]:
    """Yields the tests of a suite in the order in which they run."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_tests(test)
        else:
            yield test


def give_names(suite: unittest.TestSuite) -> list[str]:
    """Gives each test a name, and returns them all: tests with one id are numbered."""
    seen: Counter[str] = Counter()
    names = []
    for test in all_tests(suite):
        seen[test.id()] += 1
        number = seen[test.id()]
        names.append(test.id() if number == 1 else f"{test.id()} #{number}")
        test.udfvm_name = names[-1]  # type: ignore[attr-defined]
    return names


def name_of(test: unittest.TestCase) -> str:
    """Returns the name that `give_names` gave a test."""
    return test.udfvm_name  # type: ignore[attr-defined, no-any-return]


def remove(suite: unittest.TestSuite, names: set[str]) -> None:
    """Removes the tests with these names from a suite."""
    suite._tests = [  # type: ignore[attr-defined]
        test for test in suite if isinstance(test, unittest.TestSuite) or name_of(test) not in names
    ]
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            remove(test, names)


def run(request: Request, record: Record) -> None:
    """Runs the tests of a module but those that are done, and records each."""
    # A function has the prefix of its virtual environment, the process on the host has none.
    sys.prefix, sys.exec_prefix = sys.base_prefix, sys.base_exec_prefix
    importlib.reload(sysconfig)
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    support.use_resources = []  # type: ignore[attr-defined] # no network, no hour of computing
    support.verbose = 0
    random.seed(SEED)
    module, done = request["module"], set(request["done"])
    try:
        suite = unittest.TestSuite()
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(_imported(module)))
    except BaseException as error:  # noqa: BLE001 - a module may raise anything
        skipped = isinstance(error, unittest.SkipTest)
        detail = str(error) if skipped else described(sys.exc_info())
        outcome = "skipped" if skipped else "error"
        record(json.dumps({"setup": module, "outcome": outcome, "detail": detail}))
        return
    record(json.dumps({"tests": give_names(suite)}))
    remove(suite, done)
    gc.collect()
    suite.run(Recorder(record))


def _imported(module: str) -> types.ModuleType:
    return importlib.import_module(module if module.startswith("test.") else f"test.{module}")


def main() -> None:
    """Runs a module on the host, in a process as alike to a micro-VM as it can be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell says
    request = json.loads(sys.stdin.readline())
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)
    sys.argv = [""]
    sys.path[:] = request["path"]
    sys.modules["__main__"] = types.ModuleType("__main__")

    def record(line: str) -> None:
        os.write(channel, line.encode() + b"\n")

    run(request, record)
    record(json.dumps({"end": DONE}))
    os._exit(0)


if __name__ == "__main__":
    main()
