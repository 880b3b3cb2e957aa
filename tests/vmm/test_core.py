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
from core_programs import HOSTILE, SANITIZERS, Programs, run
from core_suite import ALL, POOLS, PROCESSOR, RAW, STRICT_FILTER

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "tests" / "core"


@pytest.fixture(scope="module")
def programs(kept_folder: Callable[[str], Path]) -> Programs:
    return Programs(kept_folder("core"))


@pytest.fixture(scope="module")
def raw_guest(programs: Programs) -> Path:
    return programs.raw_guest()


def assert_all_hold(
    programs: Programs, raw_guest: Path, name: str, sanitizers: str, *arguments: str
) -> None:
    program = ALL[name].build(programs, name, sanitizers)
    assert run(program, raw_guest, *arguments).count("holds") == ALL[name].tests


def test_no_program_is_left_out() -> None:
    """Standard KVM runs those of the table, too: see CONTRIBUTING.md."""
    written = [*CORE.glob("test_*.c"), *HOSTILE.glob("*.c")]
    assert sorted(path.stem for path in written) == sorted(ALL)


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_core_withstands_the_raw_guest(
    raw_guest: Path, programs: Programs, sanitizers: str, name: str
) -> None:
    output = run(RAW[name].build(programs, name, sanitizers), raw_guest)
    assert output.count("holds") == len(output.splitlines()) == RAW[name].tests


@pytest.mark.parametrize("name", RAW)
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
    assert output.count("holds") == len(output.splitlines()) == RAW[name].tests


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_no_guest_writes_to_data(raw_guest: Path, programs: Programs, sanitizers: str) -> None:
    """Nor does anything that others do to a file harm more than the call."""
    assert_all_hold(programs, raw_guest, "test_data", sanitizers)


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_work_is_shared_with_the_worker(programs: Programs, sanitizers: str) -> None:
    program = programs.build("test_worker", sanitizers)
    assert run(program).count("holds") == ALL["test_worker"].tests


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_the_process_of_a_jailed_vm_gets_a_processor_of_its_own(
    programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_parting", sanitizers)
    assert run(program).count("holds") == ALL["test_parting"].tests


@pytest.mark.long
def test_work_is_shared_without_races(programs: Programs) -> None:
    """Without the forked child: the thread sanitizer does not support threads that start there."""
    assert run(programs.build("test_worker", "tsan"), "--no-fork").count("holds") == 4


@pytest.mark.long
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_what_the_host_writes_leaves_with_the_call_at_whatever_step_it_fails(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert_all_hold(programs, raw_guest, "test_failing_steps", sanitizers)


# Every call fails once in the usual run; with UDFVM_FAULTS=all also for good, and under sanitizers.
ALL_FAULTS = os.environ.get("UDFVM_FAULTS") == "all"


@pytest.mark.long
@pytest.mark.parametrize("failing", [(), ("--on",)] if ALL_FAULTS else [()])
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"] if ALL_FAULTS else ["plain"])
def test_a_life_in_which_each_call_of_the_system_fails(
    raw_guest: Path, programs: Programs, sanitizers: str, failing: tuple[str, ...]
) -> None:
    assert_all_hold(programs, raw_guest, "test_failing_life", sanitizers, *failing)


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_pools_withstand_every_operation_at_once(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    """Without forks under sanitizers. The thread sanitizer does not support threads that start in a
    child. The allocator of the address sanitizer has a lock that another thread of the parent may
    hold for ever in the child.
    """
    program = programs.jailed("test_pool_operations", sanitizers)
    without_forks = [] if sanitizers == "plain" else ["6", "--no-fork"]
    expected = ALL["test_pool_operations"].tests - bool(without_forks)
    assert run(program, raw_guest, *without_forks).count("holds") == expected


# Operations of pools that test_pool_operations.c does not have: why.
NOT_AT_ONCE = {
    "udfvm_pool_call_parts": "as udfvm_pool_call, with an input of parts",
    "udfvm_pool_set_data": "it is called before the pool has VMs",
}


def test_every_operation_of_pools_runs_beside_others() -> None:
    """The thread sanitizer sees each operation of the interface."""
    api = (ROOT / "udfvm" / "vmm" / "core" / "api.h").read_text()
    declared = set(re.findall(r"\b(udfvm_pool_\w+)\(", re.sub(r"/\*.*?\*/", "", api, flags=re.S)))
    programs = [CORE / "test_pool_operations.c", CORE / "pool_users.h"]
    called = set(re.findall(r"\b(udfvm_pool_\w+)\(", "".join(map(Path.read_text, programs))))
    assert declared - called == set(NOT_AT_ONCE)


@pytest.mark.parametrize("sanitizers", SANITIZERS)
@pytest.mark.parametrize("name", POOLS)
def test_vms_of_pools(raw_guest: Path, programs: Programs, sanitizers: str, name: str) -> None:
    assert_all_hold(programs, raw_guest, name, sanitizers)


@pytest.mark.parametrize("name", PROCESSOR)
@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_nothing_of_the_processor_survives_a_call(
    raw_guest: Path, programs: Programs, sanitizers: str, name: str
) -> None:
    assert_all_hold(programs, raw_guest, name, sanitizers)


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_pages_that_calls_stopped_writing(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert_all_hold(programs, raw_guest, "test_hot_set", sanitizers)


def test_each_function_with_an_error_is_called_without_one() -> None:
    """``error`` may be NULL everywhere: these three programs try each function."""
    api = re.sub(
        r"/\*.*?\*/", "", (ROOT / "udfvm" / "vmm" / "core" / "api.h").read_text(), flags=re.DOTALL
    )
    functions = re.findall(r"\b(udfvm_\w+)\([^;]*struct udfvm_error \*error\);", api)
    called = re.findall(
        r"\b(udfvm_\w+)\((?:[^;()]|\([^()]*\))*\bNULL\)",
        "".join(
            (CORE / f"test_{name}.c").read_text() for name in ("null_errors", "windows", "data")
        ),
    )
    assert len(functions) >= 15
    assert set(functions) <= set(called)


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_the_filter_around_hardened_calls(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert_all_hold(programs, raw_guest, "test_harden", sanitizers)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_locks_are_taken_in_one_order_and_by_the_rules(raw_guest: Path, programs: Programs) -> None:
    """Of pools and the threads behind them, as helgrind sees them. KVM runs under valgrind, which
    does not see what guests write. In a forked child it still sees the locks of its parent, which
    the core makes anew, so the program does not fork.
    """
    program = programs.jailed("test_pool_operations", "plain")
    output = run(
        "valgrind",
        "-q",
        "--tool=helgrind",
        f"--suppressions={CORE / 'helgrind.supp'}",
        "--error-exitcode=9",
        program,
        raw_guest,
        "1",
        "--no-fork",
    )
    assert output.count("holds") == ALL["test_pool_operations"].tests - 1


HARDENED = (
    "test_deadline_signals",
    "test_host_functions",
    "test_interruption",
    "test_log",
    "test_pool",
    "test_pool_operations",
    "test_streaming",
    "test_windows",
)


@pytest.mark.parametrize("name", HARDENED)
def test_hardened_calls_make_no_system_call_that_is_refused(
    raw_guest: Path, programs: Programs, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way they end, they end as others. The filter ends the program here."""
    monkeypatch.setenv("UDFVM_HARDEN", "1")
    program = (
        programs.jailed(name, "plain", options=STRICT_FILTER)
        if name == "test_pool_operations"
        else ALL[name].build(programs, name, "plain", *STRICT_FILTER)
    )
    assert run(program, raw_guest).count("holds") == ALL[name].tests


def test_hardened_calls_run_without_races(
    raw_guest: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_HARDEN", "1")
    output = run(programs.jailed("test_pool_operations", "tsan"), raw_guest, "6", "--no-fork")
    assert output.count("holds") == ALL["test_pool_operations"].tests - 1


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_streaming_calls(raw_guest: Path, programs: Programs, sanitizers: str) -> None:
    assert_all_hold(programs, raw_guest, "test_streaming", sanitizers)


@pytest.mark.parametrize("sanitizers", ["plain", "asan-ubsan"])
def test_layers_are_bound_to_their_base_and_name(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert_all_hold(programs, raw_guest, "test_layer", sanitizers)


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_deadlines_hold_in_threads_and_children(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    program = programs.build("test_deadline", sanitizers)
    without_forks = ["--no-fork"] if sanitizers == "tsan" else []
    expected = ALL["test_deadline"].tests - bool(without_forks)
    assert run(program, raw_guest, *without_forks).count("holds") == expected


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_deadlines_hold_whatever_the_program_does(
    raw_guest: Path, programs: Programs, sanitizers: str
) -> None:
    assert_all_hold(programs, raw_guest, "test_deadline_signals", sanitizers)
