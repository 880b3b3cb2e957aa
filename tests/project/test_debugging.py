"""What CONTRIBUTING.md says about debugging a guest works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sources import ROOT

SCRIPTS = {
    "native": """
import udfvm

crash = udfvm.from_c(
    "int crash(int x) { return *(volatile int *)64 + x; }", "crash", signature="(i32) -> i32"
)
try:
    crash(1)
except udfvm.GuestCrashError as error:
    print(f"rip={error.rip:#x}")
""",
    "python": """
import ctypes
import udfvm


@udfvm.udf
def crash(address: int) -> bytes:
    return ctypes.string_at(address)


try:
    crash(64)
except udfvm.GuestCrashError as error:
    print(f"rip={error.rip:#x}")
""",
}


def blocks() -> list[str]:
    """The blocks of the section, without their fences."""
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Debug a guest")[1]
    return re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def kernel() -> Path:
    (found,) = (ROOT / "build" / "native").glob("*-plain/guest/kernel/kernel.elf")
    return found


@pytest.mark.skipif(shutil.which("gdb") is None, reason="needs gdb")
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_memory_of_a_crashed_vm(name: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPTS[name])
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rip = done.stdout.partition("rip=")[2].strip()
    assert rip.startswith("0x")
    recipe = next(block for block in blocks() if block.startswith("set breakpoint pending on"))
    assert "KERNEL" in recipe
    (tmp_path / "guest.gdb").write_text(recipe.replace("KERNEL", str(kernel())))
    typed = next(block for block in blocks() if block.startswith("(gdb)"))
    commands = [re.split(r"\s{3,}", line)[0] for line in typed.splitlines()]
    commands = [command.removeprefix("(gdb) ") for command in commands]
    commands = [re.sub(r"0x[0-9a-f]+$", rip, each) for each in commands if "dump" not in each]
    assert len(commands) == 3
    arguments = [word for command in commands for word in ("-ex", command)]
    told = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", "-x", "guest.gdb", *arguments, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "udfvm_vm_restore" in told and "add symbol table" in told, told
    assert re.search(r"^\$1 = \{rax = 0x", told, re.MULTILINE), told
    assert "static struct region *regions;" in told, told
    assert len(re.findall(r"^\s+0x[0-9a-f]+:\t\S", told, re.MULTILINE)) == 8, told
    assert len(re.findall(r"^0x[0-9a-f]+:\t0x", told, re.MULTILINE)) == 8, told
    if name == "native":
        assert re.search(r"mov\s+0x40,%e", told), told


def test_the_report_of_a_function(tmp_path: Path) -> None:
    command = next(block for block in blocks() if block.startswith("python -c"))
    (tmp_path / "script.py").write_text(
        "import udfvm\n\n\n@udfvm.udf\ndef score(x: float) -> float:\n    return x\n"
    )
    told = subprocess.run(
        ["sh", "-c", command.replace("python", sys.executable, 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(f"'{key}'" in told for key in ("syscalls", "trapped_syscalls", "log")), told
