"""CPython's own tests end in micro-VMs as on the host, but for what `expected.toml` has.

`tests/cpython/run` runs all of them; here is a part that uses the guest kernel most.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from comparing.reasons import Difference, Reason
from comparing.report import report
from cpython import chosen
from cpython.differences import differences, expected, judge
from cpython.runs import Outcome, Outcomes, Runner, Side

# Speaks as inside.py does, of the tests a to d: b crashes, c hangs.
TESTS = """
import json, os, sys, time
done = json.loads(sys.stdin.readline())["done"]
say = lambda **line: print(json.dumps(line), flush=True)
say(tests=list("abcd"))
for name in "abcd":
    if name in done:
        continue
    say(start=name)
    if name == "b":
        os.abort()
    while name == "c":
        time.sleep(1)
    say(test=name, outcome="passed", detail="")
say(end="done")
"""
REASONS = [
    Reason("processes", "One process.", modules=("m",), says="fork"),
    Reason("files", "No devices.", tests=("m.Files.*",)),
]


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("module", chosen.SUITE)
def test_module(module: str, runner: Runner) -> None:
    try:
        found = chosen.all_modules()
    except ImportError:
        pytest.skip(f"{sys.executable} has no package `test`")
    if module not in found:
        pytest.skip("this version of CPython has no such module")
    host, guest = runner.run(module)
    assert any(each.outcome == "passed" for each in host.tests.values())
    judgement = judge(module, host, guest, expected())
    assert not judgement.unexpected, report([judgement], details=False)


def outcomes(*setups: str, **tests: str) -> Outcomes:
    return Outcomes(
        {
            f"m.{name.replace('_', '.')}": Outcome(outcome, "words")
            for name, outcome in tests.items()
        },
        {each: Outcome("skipped", "no fork") for each in setups},
    )


def test_what_differs() -> None:
    host = outcomes(A_1="passed", A_2="failed", A_3="passed", A_4="skipped")
    assert differences(host, host) == []
    found = differences(host, outcomes(A_1="error", A_2="failed", A_4="passed"))
    assert found == [
        Difference("m.A.1", "passed", "error", "words"),
        Difference("m.A.3", "passed", "not run", ""),
        Difference("m.A.4", "skipped", "passed", "words"),
    ]


def test_a_set_up_that_differs_counts_once() -> None:
    host = outcomes(A_1="passed", A_2="passed")
    found = differences(host, outcomes("setUpClass (m.A)"))
    assert found == [Difference("setUpClass (m.A)", "passed", "skipped", "no fork")]


def test_differences_are_expected_by_words_or_by_name() -> None:
    host = outcomes(A_1="passed", A_2="passed", Files_1="passed", Files_2="passed")
    guest = outcomes(A_1="error", A_2="passed", Files_1="failed", Files_2="passed")
    guest.tests["m.A.1"].detail = "OSError in os.fork()"
    judgement = judge("m", host, guest, REASONS)
    assert judgement.unexpected == [] and judgement.gone == []
    assert "m: differs as expected: files 1, processes 1" in report([judgement], details=True)
    guest.tests["m.A.1"].detail = "OSError in os.open()"
    judgement = judge("m", host, guest, REASONS)
    assert [each.test for each in judgement.unexpected] == ["m.A.1"]
    assert judgement.gone == ["processes: m"]
    assert "m: 1 UNEXPECTED" in report([judgement], details=False)
    assert judge("other", host, guest, REASONS[:1]).gone == []


def test_what_is_expected_and_is_no_more_is_told() -> None:
    host = outcomes(A_1="passed", Files_1="passed")
    judgement = judge("m", host, host, REASONS)
    assert judgement.gone == ["processes: m", "m.Files.*"]
    assert "differs no more" in report([judgement, judgement], details=False)


def test_a_test_that_ends_its_process_is_told_apart() -> None:
    side = Side([sys.executable, "-c", TESTS], dict(os.environ), lasting=False)
    found = side.run("m", 3.0)
    assert {name: each.outcome for name, each in found.tests.items()} == {
        "a": "passed",
        "b": "crashed",
        "c": "timed out",
        "d": "passed",
    }
    assert found.planned == list("abcd") and not found.setups


def test_each_reason_is_one() -> None:
    for each in expected():
        assert each.reason.endswith(".") and bool(each.modules) != bool(each.tests), each
        assert bool(each.says) == bool(each.modules), each
