"""Guests that own their kernel attack at random. See docs/security.md.

``UDFVM_HOSTILE=100`` makes a hundred times as many attacks, and ``UDFVM_LEAKS=10000`` so many runs
of two tenants that search for each other's marks. What fails prints the command that repeats it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from core_programs import Programs, run
from core_suite import ATTACKS

TIMES = int(os.environ.get("UDFVM_HOSTILE", "1"))
LEAKS = int(os.environ.get("UDFVM_LEAKS", "100"))
SECONDS = 600 if TIMES == 1 and LEAKS == 100 else None  # long runs take what they take


@pytest.fixture(scope="module")
def programs(kept_folder: Callable[[str], Path]) -> Programs:
    return Programs(kept_folder("core"))


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_every_attack_ends_and_the_next_call_is_right(programs: Programs, sanitizers: str) -> None:
    program = ATTACKS["attacks"].build(programs, "attacks", sanitizers)
    # Always the same seed in the usual tests: the long form finds more.
    seed = random.Random(sanitizers).getrandbits(64) if TIMES == 1 else random.getrandbits(64)
    output = run(program, programs.raw_guest(), str(1000 * TIMES), hex(seed), seconds=SECONDS)
    assert "attacks: holds" in output
    assert "by a timeout 0" not in output and "a protocol error 0\n" not in output


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_no_tenant_finds_what_another_left(programs: Programs, sanitizers: str) -> None:
    program = ATTACKS["leaks"].build(programs, "leaks", sanitizers)
    seed = random.Random(sanitizers).getrandbits(64) if LEAKS == 100 else random.getrandbits(64)
    output = run(program, programs.raw_guest(), str(LEAKS), hex(seed), seconds=SECONDS)
    assert output.endswith("leaks: holds\n")
    for line in output.splitlines()[:-2]:  # all but how often each code ended a call
        assert " 0" not in line


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_replies_to_streaming_calls_that_lie(programs: Programs, sanitizers: str) -> None:
    program = ATTACKS["streams"].build(programs, "streams", sanitizers)
    for _ in range(TIMES):
        assert run(program, programs.raw_guest()).count("holds") == ATTACKS["streams"].tests


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_sealed_states_that_lie(programs: Programs, sanitizers: str) -> None:
    program = ATTACKS["sealed_states"].build(programs, "sealed_states", sanitizers)
    output = run(program, programs.raw_guest(), str(150 * TIMES), seconds=SECONDS)
    assert output == "sealed states: holds\n"
