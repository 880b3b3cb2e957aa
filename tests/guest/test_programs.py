"""The guest kernel under ordinary Linux programs: those of ``tests/guest`` are run on Linux, which
tests the tests, and in a VM.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from udfvm import errors, protocol, vmm
from udfvm.images.host import LIBRARY_DIRECTORIES, SINGLE_FILES
from udfvm.images.hostfs import HostFS
from udfvm.installation import GUEST
from udfvm.limits import Limits

SOURCES = Path(__file__).resolve().parent
WINDOW = 4 << 20
SCRATCH = 128 << 20
SEALING = {"scratch", "sealed", "vfs_sealed"}
PUT_HIGH = {"second_heap"}
ENDING = sorted(path.stem for path in SOURCES.glob("*.c") if path.stem not in SEALING | PUT_HIGH)
NOT_ON_LINUX = {"exhaustion", "futex"}  # would take all memory; relies on threads that take turns
FLAGS = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
LINKAGE = {"dynamic": [], "static": ["-static"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs are compiled to."""
    return tmp_path_factory.mktemp("guest")


def compiled(folder: Path, name: str, linkage: str) -> Path:
    program = folder / linkage / name
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        command = [
            "gcc",
            *FLAGS,
            *LINKAGE[linkage],
            str(SOURCES / f"{name}.c"),
            "-o",
            str(program),
            "-lpthread",
        ]
        subprocess.run(command, check=True)
    return program


def boot(
    program: Path, memory: int, environment: tuple[str, ...] = (), place: int = 0
) -> tuple[vmm.VM, str]:
    files = HostFS([program.parent, *LIBRARY_DIRECTORIES], SINGLE_FILES)
    strings = b"".join(os.fsencode(string) + b"\0" for string in (str(program), *environment))
    payload = struct.pack("<QQII", memory, place, 1, len(environment)) + strings
    limits = Limits(memory=memory, timeout_ns=60_000_000_000, max_log=1 << 20)
    return vmm.boot(
        (GUEST / "kernel.bin").read_bytes(), payload, memory, WINDOW, files, limits, SCRATCH
    )


@pytest.mark.parametrize("name", [name for name in ENDING if name not in NOT_ON_LINUX])
def test_on_linux(folder: Path, name: str) -> None:
    program = compiled(folder, name, "dynamic")
    command = ["bash", "-c", f"ulimit -n 1024; exec {program}"]
    done = subprocess.run(
        command,
        env={**os.environ, "ON_LINUX": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,  # that of a container's first process has the number 0 here
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("memory", [64 << 20, 256 << 20], ids=["64MiB", "256MiB"])
@pytest.mark.parametrize("linkage", sorted(LINKAGE))
@pytest.mark.parametrize("name", ENDING)
def test_in_a_vm(folder: Path, name: str, linkage: str, memory: int) -> None:
    runs_well(compiled(folder, name, linkage), memory)


@pytest.mark.parametrize("name", sorted(PUT_HIGH))
def test_in_a_vm_that_keeps_its_low_half_free(folder: Path, name: str) -> None:
    runs_well(compiled(folder, name, "dynamic"), 64 << 20, 32 << 20)


def runs_well(program: Path, memory: int, place: int = 0) -> None:
    with pytest.raises(errors.BuildError) as caught:
        boot(program, memory, place=place)
    ended = caught.value.__cause__
    assert isinstance(ended, errors.GuestExitError), f"{ended}\n{caught.value.report}"
    assert ended.status == 0, caught.value.report


def test_a_thread_that_overflows_its_stack_is_told_so(folder: Path) -> None:
    with pytest.raises(errors.BuildError) as caught:
        boot(compiled(folder, "reservations", "dynamic"), 64 << 20, ("CRASH=1",))
    assert "the stack overflowed" in str(caught.value.__cause__)


@pytest.mark.parametrize("name", sorted(SEALING))
def test_every_call_finds_the_seal(folder: Path, tmp_path: Path, name: str) -> None:
    booted, log = boot(compiled(folder, name, "dynamic"), 64 << 20)
    key = vmm.sha256(name.encode()).hex()
    path = tmp_path / f"{key}.base"
    with booted, path.open("w+b") as file:
        booted.seal(file.fileno(), b"{}", key)
    assert "failures" not in log
    files = HostFS([folder, *LIBRARY_DIRECTORIES], SINGLE_FILES)
    limits = vmm.core_limits(Limits(memory=64 << 20, files=True))
    with vmm.VM.open(vmm.Image.open(path), files) as vm:
        for _ in range(20):
            vm.call(protocol.REQUEST_BATCH, b"x" * 16384, limits)
            vm.restore()
            reply = vm.call(protocol.REQUEST_BATCH, b"", limits)
            assert (reply.status, bytes(reply.data[:8])) == (0, bytes(8)), reply.log.decode()
            vm.restore()
