"""The process of a jailed VM under attack, and as an attacker: C programs in tests/core, with a
``udfvm-jail`` beside them that has hostile parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from core_programs import CORE, PROGRAMS, Programs, run


@pytest.fixture(scope="module")
def programs(kept_folder: Callable[[str], Path]) -> Programs:
    return Programs(kept_folder("core"))


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_a_process_that_was_taken_over_harms_its_own_calls_alone(
    programs: Programs, sanitizers: str
) -> None:
    program = programs.jailed(
        "test_jail", sanitizers, PROGRAMS / "hostile_jail.c", wrapped="give_answer"
    )
    quick = [] if sanitizers == "plain" else ["--quick"]
    output = run(program, programs.raw_guest(), *quick)
    assert output.count("holds") == len(output.splitlines()) == (8 if quick else 9)


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_what_goes_wrong_between_calls_harms_none(programs: Programs, sanitizers: str) -> None:
    program = programs.jailed(
        "test_between_calls", sanitizers, PROGRAMS / "hostile_jail.c", wrapped="give_answer"
    )
    assert run(program, programs.raw_guest()).count("holds") == 8


def test_each_wall_from_inside(programs: Programs) -> None:
    assert run(programs.inside_jail("test_walls")).count("holds") == 6


def test_the_core_tells_all_that_it_asks_of_the_hypervisor() -> None:
    """The filter of system calls lets nothing else through."""
    kvm = CORE / "kvm"
    asked = set[str]()
    for path in kvm.glob("*.c"):
        asked |= set(re.findall(r"\bioctl\([^,]+,\s*(KVM_\w+)", path.read_text()))
    told = re.search(r"requests\[\] = \{(.*?)\};", (kvm / "requests.c").read_text(), re.DOTALL)
    assert told is not None
    assert sorted(re.findall(r"KVM_\w+", told[1])) == sorted(asked)
