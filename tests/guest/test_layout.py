"""The folders of the guest: who may include, and refer to, whom."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

GUEST = Path(__file__).resolve().parents[2] / "guest"
KERNEL = GUEST / "kernel"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', flags=re.MULTILINE)
# A folder uses those before it. guest/kernel/README.md says what they are.
ORDER = (
    "lib",
    "arch",
    "host",
    "mm",
    "sched",
    "signal",
    "rewrite",
    "vfs",
    "sockets",
    "syscall",
    "boot",
)
SHARED = {"kernel.h", "udfvm_abi.h", "elf_format.h", "initial_stack.h", "size_text.h"}  # for all
MAKES_FILES = {"vfs", "sockets"}  # they know more of the file system than its interface
ENTRY = Path("arch/entry.S")  # hands control to every part
# The linker script's symbols, and what the compiler may call on its own.
LINKER = {"system_calls_start", "system_calls_end"}


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".c", ".h", ".S"})


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


def misdirected(path: Path, text: str) -> list[str]:
    """Includes of a file of the kernel, by its path within, that its folder may not have."""
    folder = path.parts[0]
    wrong = []
    for name in INCLUDE.findall(text):
        if name in SHARED:
            continue
        target = name.split("/")[0]
        if (
            target not in ORDER
            or ORDER.index(target) > ORDER.index(folder)
            or (target == "vfs" and folder not in MAKES_FILES and name != "vfs/vfs.h")
        ):
            wrong.append(name)
    return wrong


def test_the_check_of_includes_finds_what_is_wrong() -> None:
    assert misdirected(Path("mm/memory.c"), '#include "vfs/vfs.h"\n') == ["vfs/vfs.h"]
    assert misdirected(Path("boot/elf.c"), '#include "vfs/file.h"\n') == ["vfs/file.h"]
    assert misdirected(Path("vfs/path.c"), '#include "file.h"\n') == ["file.h"]
    assert misdirected(Path("boot/elf.c"), '#include "kernel.h"\n#include "vfs/vfs.h"\n') == []


def test_every_folder_of_the_kernel_has_its_place() -> None:
    assert sorted(path.name for path in KERNEL.iterdir() if path.is_dir()) == sorted(ORDER)
    described = re.findall(r"^\| `(\w+)` \|", (KERNEL / "README.md").read_text(), re.MULTILINE)
    assert tuple(described) == ORDER


def test_folders_of_the_kernel_include_lower_ones() -> None:
    wrong = {
        str(path): found
        for path in sources(KERNEL)
        if path.parent != KERNEL
        and (found := misdirected(path.relative_to(KERNEL), path.read_text()))
    }
    assert wrong == {}


def test_kernel_and_runtimes_do_not_know_each_other() -> None:
    shared = {path.name for path in (GUEST / "include").iterdir()}
    for path in sources(KERNEL):
        for name in includes(path):
            assert name in shared or (KERNEL / name).exists(), f"{path} includes {name}"
    for path in sources(GUEST / "runtimes"):
        for name in includes(path):
            assert "kernel" not in name, f"{path} includes {name}"
    for path in sources(GUEST / "include"):
        assert set(includes(path)) <= shared, path


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, tuple[set[str], set[str]]]:
    """Of each source of the kernel: the symbols that it defines, and those that it needs."""
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    for path in sources(KERNEL):
        if path.suffix == ".h":
            continue
        made = folder / f"{path.stem}-{path.parent.name}.o"
        command = ["gcc", "-std=gnu17", "-O0", "-ffreestanding", "-mgeneral-regs-only", "-c"]
        places = ["-I", str(GUEST / "include"), "-I", str(KERNEL)]
        subprocess.run([*command, *places, str(path), "-o", str(made)], check=True)
        listing = subprocess.run(["nm", str(made)], check=True, capture_output=True, text=True)
        lines = [line.split() for line in listing.stdout.splitlines()]
        defined = {line[-1] for line in lines if line[-2] in "TDBRC"}
        needed = {line[-1] for line in lines if line[-2] == "U"}
        found[path.relative_to(KERNEL)] = (defined, needed)
    return found


def test_folders_of_the_kernel_refer_to_lower_ones(
    symbols: dict[Path, tuple[set[str], set[str]]],
) -> None:
    home = {name: path.parts[0] for path, (defined, _) in symbols.items() for name in defined}
    assert {"system_call", "memory_map", "log_flush"} <= set(home)
    for path, (_, needed) in symbols.items():
        for name in needed - LINKER - {"_GLOBAL_OFFSET_TABLE_"}:
            higher = ORDER.index(home[name]) > ORDER.index(path.parts[0])
            assert not higher or path == ENTRY, f"{path} refers to {name} of {home[name]}"


def test_no_symbol_of_the_kernel_is_defined_twice(
    symbols: dict[Path, tuple[set[str], set[str]]],
) -> None:
    names = [name for defined, _ in symbols.values() for name in defined]
    assert sorted(names) == sorted(set(names))
    assert sum(name.startswith("system_call_") for name in names) > 150


def test_no_protocol_number_is_written_out() -> None:
    """Requests, addresses and the like have names; the linker script's are checked by itself."""
    text = (GUEST / "include" / "udfvm_abi.h").read_text()
    addresses = set(re.findall(r"UDFVM_U64\((0x\w{5,})\)", text))
    assert len(addresses) > 12
    for path in sources(GUEST / "kernel"):
        found = addresses & set(re.findall(r"\b(0x[0-9a-f]+)(?:u?l*)\b", path.read_text()))
        assert found == set(), f"{path}: {found}"
