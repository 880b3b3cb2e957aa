"""The core's tests and the hostile guests on a machine with standard KVM.

Programs are compiled here, and all but one without shared libraries. They run there, by the
command that ``UDFVM_KVM_RUNNER`` names, or here if this machine's KVM is no PVM.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from core_programs import PROGRAMS, ROOT, Programs
from core_suite import ALL, CoreProgram

HERE = Path(__file__).parent
BUILT = ROOT / "build" / "standard_kvm"
SECONDS = 600  # that one program may take where each instruction is emulated
STATIC = "-static"


def build(programs: Programs, name: str, program: CoreProgram) -> Path:
    # With the C library of this machine: a program without does not know where its files lie.
    if name in ("test_between_calls", "test_jail"):
        return programs.jailed(name, "plain", PROGRAMS / "hostile_jail.c", wrapped="give_answer")
    if name == "test_pool_operations":
        return programs.jailed(name, "plain")
    if name == "test_walls":
        return programs.inside_jail(name, STATIC)
    return program.build(programs, name, "plain", STATIC)


def prepare(names: Sequence[str], quick: bool) -> Path:
    """Returns the folder that has everything that runs there."""
    BUILT.mkdir(parents=True, exist_ok=True)
    programs = Programs(BUILT)
    raw_guest = programs.raw_guest()
    keeper = programs.build("keeper", "plain", STATIC, folder=HERE)
    shutil.copy(keeper, programs.folder / "keeper")
    lines = []
    for name in names:
        program = ALL[name]
        built = build(programs, name, program).relative_to(programs.folder)
        guest = [raw_guest.name] if program.raw_guest else []
        arguments = (program.quick if quick else None) or program.usual
        lines.append(shlex.join([str(SECONDS), name, f"./{built}", *guest, *arguments]))
    shutil.copy(HERE / "inside.sh", programs.folder)
    (programs.folder / "programs").write_text("\n".join(lines) + "\n")
    return programs.folder


def command(folder: Path) -> list[str]:
    """Returns what runs it; exits if nothing can."""
    inside = shlex.join(["/bin/sh", str(folder / "inside.sh"), str(folder)])
    runner = os.environ.get("UDFVM_KVM_RUNNER")
    if runner:
        return [*shlex.split(runner), inside]
    if Path("/sys/module/kvm_pvm").exists() or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        sys.exit(
            "This machine has no standard KVM. Name a command in UDFVM_KVM_RUNNER that runs a shell"
            " command, its last argument, on a machine that has it and sees the same files."
        )
    return ["/bin/sh", "-c", inside]


def outcomes(lines: Iterator[str]) -> Iterator[tuple[str, bool, int]]:
    """Yields each program, whether all its tests hold, and its seconds. Prints what does not."""
    printed: list[str] = []
    for line in lines:
        ended = re.fullmatch(r"=== ends (\w+) (\d+) (\d+)\s*", line)
        if ended is None:
            printed.append(line)
            continue
        name = ended[1]
        holding = sum("holds" in text for text in printed)
        held = ended[2] == "0" and holding == ALL[name].tests
        if not held:
            print(f"--- {name}: exit status {ended[2]}, {holding} of {ALL[name].tests} hold")
            print("".join(printed), end="")
        printed.clear()
        yield name, held, int(ended[3])
    print("".join(printed), end="")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/standard_kvm/run", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", choices=[[], *ALL])
    parser.add_argument("--all", action="store_true", help="as many rounds as in the usual tests")
    options = parser.parse_args()
    quick = not options.all
    names = options.programs or [name for name in ALL if not (quick and ALL[name].long)]
    started = subprocess.Popen(
        command(prepare(names, quick)), stdout=subprocess.PIPE, text=True, errors="replace"
    )
    assert started.stdout is not None
    held = 0
    for name, well, seconds in outcomes(iter(started.stdout.readline, "")):
        print(f"{name}: {'holds' if well else 'FAILED'} ({seconds} s)", flush=True)
        held += well
    print(f"{held} of {len(names)} programs hold")
    sys.exit(0 if started.wait() == 0 and held == len(names) else 1)


if __name__ == "__main__":
    main()
