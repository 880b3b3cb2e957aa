"""The core under attack: C programs in tests/core against libudfvm's sources, plain and under
sanitizers.

They need no Python in the guest, so they also run where Python would take minutes (an emulated
machine, say).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from core_programs import SANITIZERS, Programs, run

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "tests" / "core"


@pytest.fixture(scope="module")
def programs(kept_folder: Callable[[str], Path]) -> Programs:
    return Programs(kept_folder("core"))


@pytest.fixture(scope="module")
def raw_guest(programs: Programs) -> Path:
    return programs.raw_guest()


# Programs that share tests/core/raw_image.h, with the number of their tests.
RAW_PROGRAMS = {
    "test_damaged_images": 2,
    "test_host_functions": 1,
    "test_host_writes": 3,
    "test_interruption": 2,
    "test_lifetime": 2,
    "test_log": 2,
    "test_pool_reuse": 3,
    "test_reach": 4,
    "test_restore": 4,
    "test_unlogged_memory": 2,
}


@pytest.mark.parametrize("name", RAW_PROGRAMS)
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_core_withstands_the_raw_guest(
    raw_guest: Path, programs: Programs, sanitizers: str, name: str
) -> None:
    output = run(programs.build(name, sanitizers), raw_guest)
    assert output.count("holds") == len(output.splitlines()) == RAW_PROGRAMS[name]


@pytest.mark.parametrize("name", RAW_PROGRAMS)
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_finds_nothing(raw_guest: Path, programs: Programs, name: str) -> None:
    program = programs.build(name, "plain")
    # the thread that watches deadlines runs on when the program ends
    definite = "--errors-for-leak-kinds=definite"
    output = run(
        "valgrind",
        "-q",
        "--leak-check=full",
        definite,
        "--error-exitcode=9",
        program,
        raw_guest,
        "--quick",
    )
    assert output.count("holds") == len(output.splitlines()) == RAW_PROGRAMS[name]


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_work_is_shared_with_the_worker(programs: Programs, sanitizers: str) -> None:
    assert run(programs.build("test_worker", sanitizers)).count("holds") == 5


@pytest.mark.long
def test_work_is_shared_without_races(programs: Programs) -> None:
    """Without the forked child: the thread sanitizer does not support threads that start there."""
    assert run(programs.build("test_worker", "tsan"), "--no-fork").count("holds") == 4


WRAPPED = (
    "calloc",
    "fcntl",
    "flock",
    "fstat",
    "fstatat",
    "ftruncate",
    "futimens",
    "getrandom",
    "ioctl",
    "lseek",
    "madvise",
    "malloc",
    "mmap",
    "munmap",
    "open",
    "openat",
    "pread",
    "pthread_create",
    "pwrite",
    "pwritev",
    "read",
    "realloc",
    "renameat",
    "sched_getaffinity",
    "timer_create",
    "timer_settime",
    "write",
)
WRAP = ",".join(["-Wl", *(f"--wrap={name}" for name in WRAPPED)])


@pytest.mark.long
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_what_the_host_writes_leaves_with_the_call_at_whatever_step_it_fails(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_failing_steps", sanitizers, WRAP)
    assert run(program, raw_guest).count("holds") == 17


# Every call fails once in the usual run; with UDFVM_FAULTS=all also for good, and under sanitizers.
ALL_FAULTS = os.environ.get("UDFVM_FAULTS") == "all"


@pytest.mark.long
@pytest.mark.parametrize("failing", [(), ("--on",)] if ALL_FAULTS else [()])
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"] if ALL_FAULTS else ["plain"])
def test_a_life_in_which_each_call_of_the_system_fails(
    raw_guest: Path, programs: Programs, sanitizers: str, failing: tuple[str, ...]
) -> None:
    program = programs.build("test_failing_life", sanitizers, WRAP)
    assert run(program, raw_guest, *failing).count("holds") == 1


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_pools_withstand_every_operation_at_once(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    """Without forks under sanitizers. The thread sanitizer does not support threads that start in a
    child. The allocator of the address sanitizer has a lock that another thread of the parent may
    hold for ever in the child.
    """
    program = programs.build("test_pool_operations", sanitizers)
    without_forks = [] if sanitizers == "plain" else ["6", "--no-fork"]
    expected = 1 if without_forks else 2
    assert run(program, raw_guest, *without_forks).count("holds") == expected


@pytest.mark.parametrize("sanitizers", SANITIZERS)
@pytest.mark.parametrize(
    ("name", "tests"), [("test_pool", 4), ("test_windows", 2), ("test_null_errors", 1)]
)
def test_vms_of_pools(
    raw_guest: Path, programs: Programs, sanitizers: str, name: str, tests: int
) -> None:
    assert run(programs.build(name, sanitizers), raw_guest).count("holds") == tests


# Programs that share tests/core/snapshot.h, with the number of their tests.
PROCESSOR_PROGRAMS = {
    "test_exits": 6,
    "test_instructions": 1,
    "test_processor": 5,
    "test_ring0": 5,
    "test_unlogged_residency": 1,
}


@pytest.mark.parametrize("name", PROCESSOR_PROGRAMS)
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_nothing_of_the_processor_survives_a_call(
    raw_guest: Path, programs: Programs, sanitizers: str, name: str
) -> None:
    program = programs.build(name, sanitizers, "-Wl,--wrap=ioctl")
    assert run(program, raw_guest).count("holds") == PROCESSOR_PROGRAMS[name]


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_pages_that_calls_stopped_writing(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_hot_set", sanitizers, "-Wl,--wrap=madvise")
    assert run(program, raw_guest).count("holds") == 3


def test_each_function_with_an_error_is_called_without_one() -> None:
    """``error`` may be NULL everywhere; test_null_errors.c and test_windows.c try each function."""
    api = re.sub(
        r"/\*.*?\*/", "", (ROOT / "udfvm" / "vmm" / "core" / "api.h").read_text(), flags=re.DOTALL
    )
    functions = re.findall(r"\b(udfvm_\w+)\([^;]*struct udfvm_error \*error\);", api)
    called = re.findall(
        r"\b(udfvm_\w+)\((?:[^;()]|\([^()]*\))*\bNULL\)",
        "".join((CORE / name).read_text() for name in ("test_null_errors.c", "test_windows.c")),
    )
    assert len(functions) >= 15
    assert set(functions) <= set(called)


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_streaming_calls(raw_guest: Path, programs: Programs, sanitizers: str) -> None:
    assert run(programs.build("test_streaming", sanitizers), raw_guest).count("holds") == 4


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_layers_are_bound_to_their_base_and_name(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_layer", sanitizers)
    assert run(program, raw_guest).count("holds") == 7


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_deadlines_hold_in_threads_and_children(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_deadline", sanitizers)
    without_forks = ["--no-fork"] if sanitizers == "tsan" else []
    expected = 5 if without_forks else 6
    assert run(program, raw_guest, *without_forks).count("holds") == expected


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_deadlines_hold_whatever_the_program_does(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert run(programs.build("test_deadline_signals", sanitizers), raw_guest).count("holds") == 5
