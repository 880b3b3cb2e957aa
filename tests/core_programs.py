"""The programs of tests/core, compiled once for all processes that run tests, and for later runs
that find the same sources.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from udfvm import protocol

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "udfvm" / "vmm" / "core"
JAIL = CORE.parent / "jail"
HEADERS = ROOT / "guest" / "include"
PROGRAMS = ROOT / "tests" / "core"
HOSTILE = ROOT / "tests" / "hostile"
STANDARD_KVM = ROOT / "tests" / "standard_kvm"
SECONDS_KEPT = 7 * 86_400  # programs of other sources
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
INCLUDES = ["-I", str(CORE), "-I", str(HEADERS), "-iquote", str(PROGRAMS)]
HOST_FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", *INCLUDES]
SANITIZERS = {
    "plain": (),
    "asan-ubsan": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "tsan": ("-fsanitize=thread",),
}


def run(*command: str | Path, seconds: float | None = 600) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def digest() -> str:
    """A name for all that the programs are made of."""
    found = hashlib.sha256(run("gcc", "--version").encode())
    found.update(os.fsencode(Path(__file__)) + Path(__file__).read_bytes())
    for folder in (CORE, JAIL, HEADERS, PROGRAMS, HOSTILE, STANDARD_KVM):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".c", ".h", ".S", ".ld"):
                found.update(f"{path} {path.stat().st_size} ".encode() + path.read_bytes())
    return found.hexdigest()[:20]


class Programs:
    """Programs, linked with the core's objects, which are compiled once for each set of flags."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        """``name``: of all that they are made of; without, the core and its tests."""
        self.folder = folder / (name or digest())
        self.folder.mkdir(exist_ok=True)
        os.utime(self.folder)
        for other in folder.iterdir():
            if other.stat().st_mtime < time.time() - SECONDS_KEPT:
                shutil.rmtree(other, ignore_errors=True)

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file or folder that ``make`` writes, unless it is there. One process does it."""
        target, partial = self.folder / name, self.folder / f"{name}.partial"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                shutil.rmtree(partial, ignore_errors=True)
                make(partial)
                partial.rename(target)
        return target

    def build(self, name: str, sanitizers: str, *linker: str, folder: Path = PROGRAMS) -> Path:
        objects = sorted(self.made(f"core-{sanitizers}", self.compiler(sanitizers)).iterdir())
        sources = (folder / f"{name}.c", *objects)
        return self.linked(name, sanitizers, *sources, "-lpthread", *linker)

    def linked(self, name: str, sanitizers: str, *words: str | Path) -> Path:
        """A program of sources, objects and options for the linker."""
        ends = hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()[:8]
        flags = [*HOST_FLAGS, *SANITIZERS[sanitizers]]
        return self.made(
            f"{name}-{sanitizers}-{ends}",
            lambda program: run("gcc", *flags, "-o", program, *words),
        )

    def jailed(
        self,
        name: str,
        sanitizers: str,
        *sources: Path,
        wrapped: str = "",
        options: tuple[str, ...] = (),
    ) -> Path:
        """A program beside a ``udfvm-jail`` that has these sources, too, in place of functions that
        are ``wrapped``. The latter is never built with sanitizers. ``options`` are the linker's.
        """
        objects = sorted(self.made("core-plain", self.compiler("plain")).iterdir())
        sources = (*sorted(JAIL.glob("*.c")), *sources, *objects)
        words = [f"-Wl,--wrap={wrapped}"] if wrapped else []
        jail = self.linked("udfvm-jail", "plain", *sources, "-lpthread", *words, *options)
        program = self.build(name, sanitizers, *options)

        def bring_together(folder: Path) -> None:
            folder.mkdir()
            shutil.copy(jail, folder / "udfvm-jail")
            shutil.copy(program, folder / name)

        return self.made(f"{program.name}-{jail.name}", bring_together) / name

    def inside_jail(self, name: str, *linker: str) -> Path:
        """A program with the parts of ``udfvm-jail``, but for its ``main``."""
        parts = [path for path in sorted(JAIL.glob("*.c")) if path.name != "main.c"]
        return self.build(name, "plain", *map(str, parts), *linker)

    def compiler(self, sanitizers: str) -> Callable[[Path], None]:
        """What compiles the core into a folder."""

        def compile_core(folder: Path) -> None:
            folder.mkdir()
            flags = (*HOST_FLAGS, *SANITIZERS[sanitizers], "-c", "-o")
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                compiled = [
                    threads.submit(run, "gcc", *flags, folder / f"{number:03}.o", source)
                    for number, source in enumerate(sorted(CORE.rglob("*.[cS]")))
                ]
            for done in compiled:
                done.result()

        return compile_core

    def raw_guest(self) -> Path:
        return self.made("raw_guest.bin", self._make_raw_guest)

    def _make_raw_guest(self, flat: Path) -> None:
        elf = flat.with_suffix(".elf")
        run(
            "gcc",
            *GUEST_FLAGS,
            "-T",
            PROGRAMS / "raw_guest.ld",
            f"-Wl,--defsym=KERNEL_BASE={protocol.KERNEL_BASE:#x}",
            f"-Wl,--defsym=BOOT_STACK={protocol.BOOT_STACK:#x}",
            PROGRAMS / "raw_entry.S",
            *sorted(PROGRAMS.glob("raw_*.c")),
            "-o",
            elf,
        )
        run("objcopy", "-O", "binary", elf, flat)
