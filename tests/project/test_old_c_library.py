"""Wheels run with glibc 2.28 and the libstdc++ of its time. The compilers that build them know
those alone: all that is in C and C++ is linked by them here, and refers to nothing newer.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyarrow
import pytest
from sources import ROOT

CORE = ROOT / "udfvm" / "vmm" / "core"
RUNTIMES = ROOT / "guest" / "runtimes"
NEWEST = {"GLIBC_2": 28, "GLIBCXX_3.4": 24, "CXXABI_1.3": 11}  # of manylinux_2_28

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="Zig is not installed"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
]


@pytest.fixture(scope="module")
def compilers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compilers")
    command = [sys.executable, "-m", "build_native.oldest_c_library", made]
    subprocess.run(command, cwd=ROOT, check=True)
    return made / "bin"


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


def link(compiler: Path, files: list[str], made: Path) -> subprocess.CompletedProcess[str]:
    folders = [ROOT / "guest" / "include", RUNTIMES, CORE, ROOT / "udfvm" / "vmm" / "jail"]
    command = [compiler, "-std=gnu17", "-D_GNU_SOURCE", *(f"-I{each}" for each in folders), *files]
    command += ["-lpthread", "-ldl", "-lm", "-o", made]
    return subprocess.run(command, capture_output=True, text=True)


def newer(program: Path) -> set[str]:
    """The versions of symbols that a program refers to, and that the old libraries lack."""
    symbols = subprocess.run(
        ["objdump", "-T", program], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"\b((GLIBC_2|GLIBCXX_3\.4|CXXABI_1\.3)\.(\d+))", symbols)
    assert found, symbols
    return {version for version, family, number in found if int(number) > NEWEST[family]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_link_with_the_oldest_c_library(
    name: str, compilers: Path, tmp_path: Path
) -> None:
    done = link(compilers / "gcc", sources(*PROGRAMS[name]), tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert newer(tmp_path / name) == set()


def test_a_newer_function_is_found(compilers: Path, tmp_path: Path) -> None:
    program = tmp_path / "newer.c"
    program.write_text("#include <unistd.h>\nint main(void) { return gettid() < 0; }\n")
    done = link(compilers / "gcc", [str(program)], tmp_path / "newer")
    assert done.returncode != 0 and "gettid" in done.stderr


CXX = """\
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>
int main(int count, char **)
{
    std::vector<std::shared_ptr<std::string>> all;
    try {
        for (long i = 0; i < count; i++)
            all.push_back(std::make_shared<std::string>(std::to_string(i)));
        std::__throw_bad_array_new_length(); // of gcc 11
    } catch (const std::bad_array_new_length &) { // whose type the shared library has
    }
    std::ostringstream text;
    text << *all.at(0) << all.size();
    return text.str() != "01";
}
"""


def test_what_the_old_library_of_cxx_lacks_is_linked_statically(
    compilers: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.cpp"
    program.write_text(CXX)
    command = [compilers / "g++", "-std=c++20", "-O0", program, "-o", tmp_path / "program"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert newer(tmp_path / "program") == set()
    assert subprocess.run([tmp_path / "program"]).returncode == 0
    with_the_machines = [shutil.which("g++"), *command[1:-1], tmp_path / "plain"]
    subprocess.run(with_the_machines, check=True)
    assert newer(tmp_path / "plain") != set()  # or else this shows nothing


def test_kernels_for_arrow_link_with_the_oldest_library_of_cxx(
    compilers: Path, tmp_path: Path
) -> None:
    include = sysconfig.get_path("include")
    libraries = [str(next(Path(pyarrow.get_library_dirs()[0]).glob(f"{each}.so.*00")))
                 for each in ("libarrow", "libarrow_compute", "libarrow_python")]  # fmt: skip
    made = tmp_path / "functions.so"
    command = [compilers / "g++", "-std=c++20", "-shared", "-fPIC", f"-isystem{include}",
               f"-isystem{pyarrow.get_include()}", f"-I{ROOT / 'udfvm' / 'call'}",
               *sources("udfvm/functions/*.cpp"), "-lstdc++", *libraries, "-o", made]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert newer(made) == set()
