"""Models of what runs at once, checked exhaustively by spin (https://spinroot.com): the pool,
streaming calls, hardened calls, and the zeroing of memory. Each has mutants, in which a check is
left out or two steps are swapped, and spin has to find the fault of each. CONTRIBUTING.md says how
a model is written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parent
ROOT = MODELS.parents[1]
CORE = ROOT / "udfvm" / "vmm" / "core"
FOLDERS = (CORE, ROOT / "guest" / "kernel")
NAMES = sorted(path.stem for path in MODELS.glob("*.pml"))
MUTANT = re.compile(r"^#define ([A-Z_]+) +(\d+) +/\*", re.MULTILINE)
STEP = re.compile(r"(\w+)\(\) in ([\w/]+\.c)")
SHARES = re.compile(r"pthread_(?:mutex_lock|cond_|create|join)|udfvm_condition_wait|atomic_\w+\(")
MODELLED = (
    "base/baton.c",
    "base/worker.c",
    "call/stream_thread.c",
    "call/streaming.c",
    "call/vcpu_thread.c",
    "pool/idle.c",
    "pool/pool.c",
    "pool/take.c",
)
# Functions of these files that share what other threads use, and are in no model.
DEADLINES = "deadlines end a stream from outside, as its caller does"
PROCESSORS = "counts processors"
LOOKING = "looks before it sleeps, which is no more than a later wait"
ERRANDS = "of hardened calls: with the lock, which who waits and who ends the stream take, too"
FORKS = "in a child there is one thread"
LEFT_OUT = {
    "check_deadlines": DEADLINES,
    "create": "of start()",
    "free_stream": "the thread has ended",
    "idle_for_long": "takes a guest out that goes on without a request",
    "join_ended": "with the lock, as the only one",
    "look": DEADLINES,
    "look_up": DEADLINES,
    "spin": LOOKING,
    "start_elsewhere": "of start_worker()",
    "take_log": "of jailed VMs",
    "udfvm_baton_has_come": "only reads",
    "udfvm_baton_spin": LOOKING,
    "udfvm_harden": "take() and put()",
    "udfvm_is_hardened": "only reads",
    "udfvm_pool_set_idle": "a number that picks which VMs are closed",
    "udfvm_pool_shrink_old": "only counts, beside shrink_old()",
    "udfvm_pool_statistics": "only reads",
    "udfvm_stream_ended": "only reads",
    "udfvm_stream_force_processor": PROCESSORS,
    "udfvm_stream_forget_processors": FORKS,
    "udfvm_stream_give_processor": PROCESSORS,
    "udfvm_stream_outside": ERRANDS,
    "udfvm_stream_serve": ERRANDS,
    "udfvm_stream_take_processor": PROCESSORS,
    "udfvm_vcpu_threads_before_fork": FORKS,
    "udfvm_vcpu_threads_forget": FORKS,
    "udfvm_worker_forget": FORKS,
}

needs_spin = pytest.mark.skipif(shutil.which("spin") is None, reason="spin is not installed")


def mutants(name: str) -> dict[str, str]:
    """The mutants of a model, by name, with their numbers."""
    return dict(MUTANT.findall((MODELS / f"{name}.pml").read_text()))


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the program that checks a model, once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            run(folder, "spin", "-a", MODELS / f"{name}.pml")
            run(folder, "gcc", "-O1", "-w", "-DSAFETY", "-DMEMLIM=2048", "-o", "pan", "pan.c")
            made[name] = folder / "pan"
        return made[name]

    return make


def run(folder: Path, *command: str | Path, mutant: str = "0") -> str:
    environment = {**os.environ, "MODEL_MUTANT": mutant}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_spin
@pytest.mark.parametrize("name", NAMES)
def test_a_model_holds(checker: Callable[[str], Path], name: str) -> None:
    program = checker(name)
    output = run(program.parent, program, "-m100000")
    assert "errors: 0" in output, output
    assert "max search depth too small" not in output and "out of memory" not in output


@needs_spin
@pytest.mark.parametrize(
    ("name", "mutant"), [(name, mutant) for name in NAMES for mutant in mutants(name)]
)
def test_each_mutant_fails(checker: Callable[[str], Path], name: str, mutant: str) -> None:
    program = checker(name)
    output = run(program.parent, program, "-m100000", mutant=mutants(name)[mutant])
    assert "errors: 1" in output, output


@pytest.mark.parametrize("name", NAMES)
def test_mutants_have_numbers_of_their_own_and_are_used(name: str) -> None:
    text = (MODELS / f"{name}.pml").read_text()
    numbers = mutants(name)
    assert sorted(map(int, numbers.values())) == list(range(1, len(numbers) + 1))
    assert all(f"is({mutant})" in text for mutant in numbers)


def steps() -> set[tuple[str, str]]:
    """The functions that steps of the models stand for, and their files."""
    return {step for name in NAMES for step in STEP.findall((MODELS / f"{name}.pml").read_text())}


def functions(path: Path) -> dict[str, str]:
    """The functions that a C file defines, with their bodies."""
    found = re.findall(
        r"^[a-z][^;{}#]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", path.read_text(), re.M | re.S
    )
    return dict(found)


def test_steps_stand_for_functions_that_exist() -> None:
    for function, file in steps():
        [path] = [folder / file for folder in FOLDERS if (folder / file).exists()]
        assert function in functions(path), f"{function}() in {file}"


def test_what_threads_share_is_in_a_model() -> None:
    modelled = {function for function, _ in steps()}
    sharing = {
        function
        for file in MODELLED
        for function, body in functions(CORE / file).items()
        if SHARES.search(body)
    }
    assert sharing - modelled == set(LEFT_OUT)
