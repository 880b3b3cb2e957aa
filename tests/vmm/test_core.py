"""The core under attack: C programs in tests/core against libudfvm's sources, plain and under
sanitizers.

They need no Python in the guest, so they also run where Python would take minutes (an emulated
machine, say).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "tests" / "core"
GUEST_FLAGS = [
    "-std=gnu17",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-static",
    "-fno-pic",
    "-no-pie",
    "-mcmodel=small",
    "-mno-red-zone",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,--no-warn-rwx-segments",
]
INCLUDES = ["-I", str(ROOT / "udfvm" / "vmm" / "core"), "-I", str(ROOT / "guest" / "include")]
HOST_FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *INCLUDES]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def core_sources() -> list[Path]:
    return sorted((ROOT / "udfvm" / "vmm" / "core").rglob("*.[cS]"))


@pytest.fixture(scope="module")
def raw_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw")
    elf, flat = directory / "raw_guest.elf", directory / "raw_guest.bin"
    run(
        "gcc",
        *GUEST_FLAGS,
        "-T",
        CORE / "raw_guest.ld",
        CORE / "raw_entry.S",
        CORE / "raw_guest.c",
        "-o",
        elf,
    )
    run("objcopy", "-O", "binary", elf, flat)
    return flat


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_core_withstands_the_raw_guest(raw_guest: Path, tmp_path: Path, sanitizers: str) -> None:
    program = tmp_path / "test_core"
    run(
        "gcc",
        *HOST_FLAGS,
        *sanitizers.split(),
        CORE / "test_core.c",
        *core_sources(),
        "-o",
        program,
        "-lpthread",
    )
    output = run(program, raw_guest)
    assert output.count("holds") == len(output.splitlines())


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_finds_nothing(raw_guest: Path, tmp_path: Path) -> None:
    program = tmp_path / "test_core"
    run("gcc", *HOST_FLAGS, CORE / "test_core.c", *core_sources(), "-o", program, "-lpthread")
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
    assert output.count("holds") == len(output.splitlines())


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_work_is_shared_with_the_worker(tmp_path: Path, sanitizers: str) -> None:
    assert run(built_worker_test(tmp_path, sanitizers)).count("holds") == 5


def test_work_is_shared_without_races(tmp_path: Path) -> None:
    """Without the forked child: the thread sanitizer does not support threads that start there."""
    assert run(built_worker_test(tmp_path, "-fsanitize=thread"), "--no-fork").count("holds") == 4


def built_worker_test(directory: Path, sanitizers: str) -> Path:
    program = directory / "test_worker"
    run(
        "gcc",
        *HOST_FLAGS,
        *sanitizers.split(),
        CORE / "test_worker.c",
        *core_sources(),
        "-o",
        program,
        "-lpthread",
    )
    return program


WRAPPED = (
    "malloc",
    "calloc",
    "realloc",
    "ioctl",
    "madvise",
    "open",
    "timer_create",
    "timer_settime",
    "pthread_create",
    "getrandom",
)


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_what_the_host_writes_leaves_with_the_call_at_whatever_step_it_fails(
    raw_guest: Path, tmp_path: Path, sanitizers: str
) -> None:
    program = tmp_path / "test_spans"
    wrap = ",".join(["-Wl", *(f"--wrap={name}" for name in WRAPPED)])
    run(
        "gcc",
        *HOST_FLAGS,
        *sanitizers.split(),
        CORE / "test_spans.c",
        *core_sources(),
        "-o",
        program,
        "-lpthread",
        wrap,
    )
    assert run(program, raw_guest).count("holds") == 17


@pytest.mark.parametrize(
    ("sanitizers", "holds"),
    [
        ("", 9),
        ("-fsanitize=address,undefined -fno-sanitize-recover=all", 9),
        ("-fsanitize=thread", 8),
    ],
    ids=["plain", "asan-ubsan", "tsan"],
)
def test_pools_withstand_every_operation_at_once(
    raw_guest: Path, tmp_path: Path, sanitizers: str, holds: int
) -> None:
    program = tmp_path / "test_pool"
    flags = [*HOST_FLAGS, *sanitizers.split()]
    run("gcc", *flags, CORE / "test_pool.c", *core_sources(), "-o", program, "-lpthread")
    without_forks = ["6", "--no-fork"] if holds == 8 else []
    assert run(program, raw_guest, *without_forks).count("holds") == holds


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_nothing_of_the_processor_survives_a_call(
    raw_guest: Path, tmp_path: Path, sanitizers: str
) -> None:
    program = tmp_path / "test_processor"
    flags = [*HOST_FLAGS, *sanitizers.split(), "-Wl,--wrap=ioctl"]
    run("gcc", *flags, CORE / "test_processor.c", *core_sources(), "-o", program, "-lpthread")
    output = run(program, raw_guest)
    assert output.count("holds") == 17


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_pages_that_calls_stopped_writing(raw_guest: Path, tmp_path: Path, sanitizers: str) -> None:
    program = tmp_path / "test_hot_set"
    flags = [*HOST_FLAGS, *sanitizers.split(), "-Wl,--wrap=madvise"]
    run("gcc", *flags, CORE / "test_hot_set.c", *core_sources(), "-o", program, "-lpthread")
    assert run(program, raw_guest).count("holds") == 3


def test_each_function_with_an_error_is_called_without_one() -> None:
    """``error`` may be NULL everywhere: test_pool.c calls all that have one so."""
    api = re.sub(
        r"/\*.*?\*/", "", (ROOT / "udfvm" / "vmm" / "core" / "api.h").read_text(), flags=re.DOTALL
    )
    functions = re.findall(r"\b(udfvm_\w+)\([^;]*struct udfvm_error \*error\);", api)
    called = re.findall(
        r"\b(udfvm_\w+)\((?:[^;()]|\([^()]*\))*\bNULL\)", (CORE / "test_pool.c").read_text()
    )
    assert len(functions) >= 15
    assert set(functions) <= set(called)


@pytest.mark.parametrize(
    "sanitizers",
    ["", "-fsanitize=address,undefined -fno-sanitize-recover=all"],
    ids=["plain", "asan-ubsan"],
)
def test_layers_are_bound_to_their_base_and_name(
    raw_guest: Path, tmp_path: Path, sanitizers: str
) -> None:
    program = tmp_path / "test_layer"
    run(
        "gcc",
        *HOST_FLAGS,
        *sanitizers.split(),
        CORE / "test_layer.c",
        *core_sources(),
        "-o",
        program,
        "-lpthread",
    )
    assert run(program, raw_guest).count("holds") == 7


@pytest.mark.parametrize(
    ("sanitizers", "holds"),
    [
        ("", 11),
        ("-fsanitize=address,undefined -fno-sanitize-recover=all", 11),
        ("-fsanitize=thread", 10),
    ],
    ids=["plain", "asan-ubsan", "tsan"],
)
def test_deadlines_hold_whatever_the_program_does(
    raw_guest: Path, tmp_path: Path, sanitizers: str, holds: int
) -> None:
    program = tmp_path / "test_deadline"
    flags = [*HOST_FLAGS, *sanitizers.split()]
    run("gcc", *flags, CORE / "test_deadline.c", *core_sources(), "-o", program, "-lpthread")
    without_forks = ["--no-fork"] if "thread" in sanitizers else []
    assert run(program, raw_guest, *without_forks).count("holds") == holds
