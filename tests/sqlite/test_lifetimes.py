"""Unloading the extension, the ends of threads and of the process, and forks, in any order, do not
harm a program without Python.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from preloaded import SANITIZERS

import udfvm.sqlite
from udfvm.cli import commands

SOURCE = Path(__file__).resolve().parent / "embedding" / "lifetimes.c"
# The timer of a deadline stays armed after its call: it fires behind whatever comes next.
FUNCTION = """
import udfvm

@udfvm.udf(timeout=0.15)
def lifetime(value: int) -> int:
    return value + 1

@udfvm.udf(timeout=None)
def for_ever(value: int) -> int:
    while True:
        pass
"""
AT_ONCE = 4
WITHOUT_KVM_NOISE = {"PATH": "/nowhere"}

Ended = dict[str, Future[subprocess.CompletedProcess[str]]]  # programs, by their steps

pytestmark = pytest.mark.skipif(
    not Path("/usr/include/sqlite3.h").exists(), reason="sqlite3.h is not installed"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lifetimes")
    functions = directory / "functions_of_lifetimes.py"
    functions.write_text(FUNCTION)
    done = CliRunner().invoke(commands, ["seal", "--replace", str(functions)])
    assert done.exit_code == 0, done.output
    built = directory / "lifetimes"
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, SOURCE, "-o", built, "-lsqlite3", "-lpthread"], check=True)
    return built


def start(program: Path, *steps: str) -> subprocess.CompletedProcess[str]:
    environment = {**SANITIZERS, **WITHOUT_KVM_NOISE, "UDFVM_CACHE": os.environ["UDFVM_CACHE"]}
    return subprocess.run(
        [program, udfvm.sqlite.EXTENSION, *steps],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )


def run(program: Path, *steps: str) -> None:
    check(start(program, *steps), *steps)


def check(done: subprocess.CompletedProcess[str], *steps: str) -> None:
    assert (done.returncode, done.stdout) == (0, "end\n"), (
        " ".join(steps),
        done.returncode,
        done.stdout,
        done.stderr,
    )


TIMERS = [
    "aL aC aX w",
    "aL aC aX aE w",
    "aL aC aE w",
    "aL aS aX w",
    "aL aS aF aX aE w",
    "aL aC aX w aL aC aX w aE w",
    "aL aC bL bC aX aE bX w bE w",
    "aL aC aX f w",
    "aL aS w aN aX",
    "aL aS w f aN aX w aE",
]
DESTRUCTORS = [
    "aL aC aK",
    "aL aK",
    "aL aS aK w",
    "aL aC l ak w",
    "aL aS l ak",
    "aL l ak bL bC bX bE",
    "aL aC bL bS aK bX bE w",
    "aL aC l aK f",
    "aL aC bL bC l bk ak w",
]
CALLS = [
    "aL aR",
    "aL aR w",
    "aL aC bL bS aR w",
    "aL aR f",
    "aL bL bC aR f bX bE f",
    "aL bL aR bR w f",
    "aL bL bS aR f bX",
    "aL bL aR bR" + " f" * 40,
]
ENDS = [
    "p",
    "aL aC aE p",
    "aL aC aX aE bL bC aL aC aK bK p",
    "aL aS aE p",
    "aL aS bL bS aE bE p",
    "aL aS aE w w w w w p",
    "aL aS w w w w w aN aE p",
    "aL aS aE f p",
]
# Where a statement was left for long, its micro-VM has no thread any more.
LEFT = [
    f"aL aS w w w w w {steps}"
    for steps in (
        "aN aN aF aC aX aE",
        "aX",
        "aN w w w w w aN aX aE",
        "f aN aX",
        "",
        "aE",
        "bL bS w w w w w aN bN aX bN bX",
    )
]


@pytest.fixture(scope="module")
def ended(program: Path) -> Iterator[Ended]:
    """The programs in which time passes. They sleep for most of theirs: some do so at once."""
    orders = [*TIMERS, *DESTRUCTORS, *CALLS, *ENDS, *LEFT]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {steps: pool.submit(start, program, *steps.split()) for steps in orders}


def ends_and_forks() -> Iterator[tuple[str, ...]]:
    """One thread's life, cut off by the end of the process after each step, without a fork and with
    one after each step.
    """
    for life in (
        ("aL", "aC", "aX", "aE"),
        ("aL", "aS", "aN", "aF", "aC", "aX", "aE"),
        ("aL", "aS", "aX", "aE"),
        ("aL", "aC", "aE"),
    ):
        for length in range(1, len(life) + 1):
            yield life[:length]
            for place in range(1, length + 1):
                yield (*life[:place], "f", *life[place:length])


def interleavings() -> Iterator[tuple[str, ...]]:
    """Two threads' lives, in every order."""
    for places in itertools.combinations(range(8), 4):
        first, second = iter(("aL", "aC", "aX", "aE")), iter(("bL", "bC", "bX", "bE"))
        yield tuple(next(first) if index in places else next(second) for index in range(8))


def run_all(program: Path, orders: Iterator[tuple[str, ...]]) -> None:
    for steps in sorted(set(orders)):
        run(program, *steps)


def test_every_end_and_fork(program: Path) -> None:
    run_all(program, ends_and_forks())


def test_threads_in_every_order(program: Path) -> None:
    run_all(program, interleavings())


@pytest.mark.parametrize("steps", TIMERS)
def test_timers_that_fire_after_the_extension_was_unloaded(ended: Ended, steps: str) -> None:
    check(ended[steps].result(), steps)


@pytest.mark.parametrize("steps", DESTRUCTORS)
def test_connections_that_thread_specific_data_close(ended: Ended, steps: str) -> None:
    check(ended[steps].result(), steps)


@pytest.mark.parametrize("steps", CALLS)
def test_the_process_ends_while_calls_run(ended: Ended, steps: str) -> None:
    check(ended[steps].result(), steps)


@pytest.mark.parametrize("steps", ENDS)
def test_the_main_thread_ends_first(ended: Ended, steps: str) -> None:
    """No thread of the library's keeps the process, whatever was left open."""
    check(ended[steps].result(), steps)


@pytest.mark.parametrize("steps", LEFT)
def test_statements_that_were_left_for_long_go_on(ended: Ended, steps: str) -> None:
    """Their micro-VMs have no thread any more."""
    check(ended[steps].result(), steps)
