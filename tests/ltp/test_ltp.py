"""What LTP's tests say is read, compared and explained. `tests/ltp/run` runs them, on the host and
in micro-VMs; here are programs of our own that speak as they do.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import system_call_page
from comparing.reasons import Difference, Reason
from ltp import figures, runs, suite
from ltp.differences import differences, expected, judge
from ltp.outcomes import Outcomes, variants_of
from ltp.suite import Case

# A test with two variants: each says who runs it, and the second has a child.
OWN = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    const int variant = atoi(getenv("LTP_ONE_PROCESS"));
    FILE *file = fopen("/tmp/own", "w");
    fprintf(stderr, "2 variants\\nown.c:1: %s: %d\\n", getuid() ? "TFAIL" : "TPASS", getuid());
    fprintf(stderr, "own.c:2: %s: chown\\n",
            chown("/tmp/own", 1, 2) || setuid(1) == 0 ? "TFAIL" : "TPASS");
    fprintf(stderr, "own.c:3: %s: %s\\n", count == 2 && file ? "TPASS" : "TFAIL", arguments[1]);
    if (!variant)
        abort();
    const pid_t child = fork();
    if (child < 0)
        fprintf(stderr, "own.c:4: TBROK: fork() failed: %m\\n");
    else if (child == 0)
        _exit(0);
    else
        fprintf(stderr, "own.c:5: %s: child\\n", wait(NULL) == child ? "TPASS" : "TFAIL");
    return 0;
}
"""


def outcomes(text: str, end: str = "exit 0") -> Outcomes:
    found = Outcomes()
    found.add("", text, end)
    return found


def test_results_are_read_as_both_harnesses_print_them() -> None:
    found = outcomes(
        "a.c:10: TINFO: words\na.c:12: TPASS: good\na.c:12: TFAIL: not: so\n"
        "old    1  TPASS  :  good\nold    2  TBROK  :  old.c:3: fork\nother\n",
        "exit 3",
    )
    assert found.results == {
        "a.c:12": ("TPASS", "good"),
        "a.c:12 #2": ("TFAIL", "not: so"),
        "old 1": ("TPASS", "good"),
        "old 2": ("TBROK", "old.c:3: fork"),
        "end": ("exit 0", ""),
    }
    assert (found.count("TPASS"), found.stopped()) == (2, True)
    assert outcomes("nothing", "exit 3").results == {"end": ("exit 3", "nothing")}
    assert (variants_of("a\n12 variants\nb"), variants_of("")) == (12, 1)


def test_what_differs() -> None:
    host = outcomes("a.c:1: TPASS: one\na.c:2: TPASS: two\na.c:3: TPASS: three\n")
    guest = outcomes("a.c:1: TPASS: 1\na.c:2: TFAIL: two is wrong\n")
    assert differences("a", host, host) == []
    assert differences("a", host, guest) == [
        Difference("a a.c:2", "TPASS", "TFAIL", "two is wrong"),
        Difference("a a.c:3", "TPASS", "nothing", "three"),
    ]


def test_what_a_test_was_kept_from_is_not_missed() -> None:
    host = outcomes("a.c:1: TPASS: one\na.c:2: TPASS: two\n")
    broken = outcomes("a.c:9: TBROK: no file\n")
    assert differences("a", host, broken) == [Difference("a a.c:9", "nothing", "TBROK", "no file")]
    assert differences("a", broken, host) == [Difference("a a.c:9", "TBROK", "nothing", "no file")]
    crashed = outcomes("", "signal 11")
    assert [each.guest for each in differences("a", host, crashed)] == ["signal 11"]


def test_nothing_is_compared_behind_a_child_that_was_refused() -> None:
    host = outcomes("a.c:1: TPASS: one\na.c:2: TPASS: two\na.c:3: TPASS: three\n")
    text = "a.c:1: TFAIL: one\na.c:8: TFAIL: Fork failed\na.c:9: TFAIL: no child\n"
    assert [each.test for each in differences("a", host, outcomes(text))] == ["a a.c:1", "a a.c:8"]


def test_differences_are_expected_by_words_or_by_name() -> None:
    reasons = [
        Reason("processes", "One process.", modules=("*",), says="fork"),
        Reason("files", "No devices.", tests=("b b.c:2*",)),
    ]
    host = outcomes("a.c:1: TPASS: one\nb.c:2: TPASS: two\n")
    guest = outcomes("a.c:1: TFAIL: fork failed\nb.c:2: TFAIL: two\n")
    judgement = judge("a", host, guest, reasons)
    assert [reason.kind for _, reason in judgement.explained] == ["processes"]
    text = "b.c:2: TFAIL: two\n"
    judgement = judge("b", outcomes(text.replace("TFAIL", "TPASS")), outcomes(text), reasons)
    assert [reason.kind for _, reason in judgement.explained] == ["files"]
    assert judge("b", host, host, reasons).gone == ["b b.c:2*"]


def test_figures_count_tests_by_how_they_end() -> None:
    host = outcomes("a.c:1: TPASS: one\na.c:2: TPASS: two\n")
    childless, skipped = outcomes("a.c:8: TBROK: fork() failed\n"), outcomes("a.c:9: TCONF: no\n")
    sides = [(host, host), (skipped, skipped), (host, childless), (host, outcomes(""))]
    told = [(judge("a", *each, expected()), *each) for each in sides]
    left_out = Counter({"of calls that guests do not have": 7})
    assert figures.figures_of("0123456789abcdef", told, left_out) == {
        "ltp": "0123456789abcdef",
        "tests": 4,
        "alike": 1,
        "neither": {"what neither has": 1},
        "differ": 1,
        "unexpected": 1,
        "passed": 2,
        "kinds": {"processes": 1},
        "left_out": {"of calls that guests do not have": 7},
    }


def test_the_page_on_system_calls_has_the_figures() -> None:
    found = figures.read()
    assert found["unexpected"] == 0
    page = " ".join(system_call_page.PAGE.read_text().split())
    assert figures.sentences(found) in page


def test_each_reason_is_one() -> None:
    for each in expected():
        assert each.reason.endswith(".") and bool(each.modules) != bool(each.tests), each
        assert bool(each.says) == bool(each.modules), each


def test_tests_are_of_calls_that_guests_have(tmp_path: Path) -> None:
    calls = tmp_path / "testcases/kernel/syscalls"
    programs = {"open": "open01", "fork": "fork01", "wait": "wait01", "chown": "chown01_16"}
    for folder, name in programs.items():
        (calls / folder).mkdir(parents=True)
        (calls / folder / f"{name.removesuffix('_16')}.c").touch()
        (calls / folder / name).write_bytes(b"\x7fELF" if folder == "open" else b"#!/bin/sh")
        (calls / folder / name).chmod(0o755)
    (tmp_path / "runtest").mkdir()
    lines = ["# of LTP", "", *(f"{name} {name} -a 'b c'" for name in programs.values())]
    (tmp_path / "runtest/syscalls").write_text("\n".join(lines))
    tests, left_out = suite.tests_of(tmp_path)
    assert tests == [Case("open01", calls / "open/open01", ("-a", "b c"))]
    assert left_out == {"of calls that guests do not have": 2, "not built on this machine": 1}


def has_namespaces() -> bool:
    """Whether this process may make users of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none"]
    try:
        done = subprocess.run([*command, "/tmp"], capture_output=True)
    except FileNotFoundError:
        return False
    return os.geteuid() == 0 and done.returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="needs root, and namespaces of users")
def test_a_test_runs_on_both_sides_as_a_root_without_privileges() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # a test has a /tmp of its own
        folder = Path(name)
        folder.chmod(0o755)  # its user is none of this machine's
        (folder / "own.c").write_text(OWN)
        subprocess.run(["gcc", folder / "own.c", "-o", folder / "own"], check=True)
        host, guest = runs.run(Case("own", folder / "own", ("argument",)))
    assert host.count("TPASS") == 7 and guest.count("TPASS") == 6, (host, guest)
    assert host.results["variant 0 end"][0] == guest.results["variant 0 end"][0] == "signal 6"
    judgement = judge("own", host, guest, expected())
    assert [reason.kind for _, reason in judgement.explained] == ["processes"]
    assert not judgement.unexpected
