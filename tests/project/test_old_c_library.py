"""What is built in C links against glibc 2.28, the oldest C library of the wheels: it uses no
function that is newer. Zig has the symbols of each version.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from sources import ROOT

CORE = ROOT / "udfvm" / "vmm" / "core"
RUNTIMES = ROOT / "guest" / "runtimes"
OLDEST = "x86_64-linux-gnu.2.28"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="Zig is not installed"
)


def sources(*patterns: str) -> list[str]:
    found = [str(path) for each in patterns for path in sorted(ROOT.glob(each))]
    assert found
    return found


PROGRAMS = {
    "jail": ["udfvm/vmm/core/**/*.[cS]", "udfvm/vmm/jail/*.c"],  # with all of the core
    **{
        language: [
            *(f"guest/runtimes/{each}/*.[cS]" for each in ("arrow", "shared", "shared/compiled")),
            f"guest/runtimes/{language}/*.[cS]",
        ]
        for language in ("native", "wasm")
    },
}


def link(target: str, files: list[str], made: Path) -> subprocess.CompletedProcess[str]:
    folders = [ROOT / "guest" / "include", RUNTIMES, CORE, ROOT / "udfvm" / "vmm" / "jail"]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-std=gnu17", "-w"]
    command += ["-D_GNU_SOURCE", *(f"-I{each}" for each in folders), *files, "-o", str(made)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_link_with_the_oldest_c_library(name: str, tmp_path: Path) -> None:
    done = link(OLDEST, sources(*PROGRAMS[name]), tmp_path / name)
    assert done.returncode == 0, done.stderr


def test_a_newer_function_is_found(tmp_path: Path) -> None:
    program = tmp_path / "newer.c"
    program.write_text("#include <unistd.h>\nint main(void) { return gettid() < 0; }\n")
    done = link(OLDEST, [str(program)], tmp_path / "newer")
    assert done.returncode != 0 and "gettid" in done.stderr
