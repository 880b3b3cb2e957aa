"""Builds the parts of udfvm that are not Python: the core, its binding, the guest kernel and
runtimes, the SQLite extension.

``pip install .`` puts them into the package; an editable install puts them beside the sources.
``UDFVM_SANITIZE`` (for example ``address,undefined``) builds the core and the SQLite extension with
sanitizers.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
PROGRAM_FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", *WARNINGS]
HOST_FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-fvisibility=hidden", *WARNINGS]
# Pointers to guest memory point to const: see udfvm/vmm/core/memory/span.h.
CONST_FLAGS = ["-Wcast-qual"]
GUEST_FLAGS = [
    "-std=gnu17",
    "-O2",
    "-g",
    "-ffreestanding",
    "-nostdlib",
    "-static",
    "-fno-pic",
    "-no-pie",
    "-mcmodel=small",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    *WARNINGS,
    "-Wno-unused-parameter",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,--no-warn-rwx-segments",
]


# The library stays where it is once it was loaded: a thread's timer, its clean-up at the thread's
# end, and handlers of signals and forks lead into it after the last connection that used it was
# closed.
STAYS_LOADED = "-Wl,-z,nodelete"


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


def sources(*patterns: str) -> list[Path]:
    """Sources by pattern, but what cffi generates."""
    return [
        path
        for pattern in patterns
        for path in sorted(ROOT.glob(pattern))
        if not path.name.startswith("_core")
    ]


def sanitizers() -> list[str]:
    """Flags for what ``UDFVM_SANITIZE`` names."""
    chosen = os.environ.get("UDFVM_SANITIZE")
    return [f"-fsanitize={chosen}", "-fno-omit-frame-pointer"] if chosen else []


class BuildNative(build_ext):
    """``build_ext`` with the parts that setuptools does not know how to build."""

    def run(self) -> None:
        package = (
            ROOT / "udfvm" if self.inplace or self.editable_mode else Path(self.build_lib) / "udfvm"
        )
        guest = package / "_guest"
        guest.mkdir(parents=True, exist_ok=True)
        self.build_core(package / "vmm")
        for extension in self.extensions:
            extension.library_dirs = [str(package / "vmm")]
        super().run()
        self.build_kernel(guest)
        self.build_allocator(guest)
        self.build_python_runtime(guest)
        self.build_compiled_runtime(guest, "native")
        self.build_compiled_runtime(guest, "wasm")
        (guest / "include").mkdir(exist_ok=True)
        shutil.copy(
            ROOT / "guest" / "runtimes" / "native" / "udfvm.h", guest / "include" / "udfvm.h"
        )
        self.build_sqlite(package)
        self.list_syscalls(guest)
        self.write_digest(guest)

    def build_core(self, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        run(
            "gcc",
            *HOST_FLAGS,
            *CONST_FLAGS,
            *sanitizers(),
            "-shared",
            STAYS_LOADED,
            "-Wl,-soname,libudfvm.so",
            "-o",
            target / "libudfvm.so",
            "-I",
            ROOT / "udfvm" / "vmm" / "core",
            "-I",
            ROOT / "guest" / "include",
            *sources("udfvm/vmm/core/**/*.c", "udfvm/vmm/core/**/*.S"),
            "-lpthread",
        )

    def build_kernel(self, guest: Path) -> None:
        kernel = ROOT / "guest" / "kernel"
        with tempfile.TemporaryDirectory() as scratch:
            elf = Path(scratch) / "kernel.elf"
            run(
                "gcc",
                *GUEST_FLAGS,
                "-I",
                ROOT / "guest" / "include",
                "-I",
                kernel,
                "-T",
                kernel / "boot" / "kernel.ld",
                "-o",
                elf,
                *sources("guest/kernel/**/*.c", "guest/kernel/**/*.S"),
            )
            run("objcopy", "-O", "binary", elf, guest / "kernel.bin")

    def build_allocator(self, guest: Path) -> None:
        run(
            "gcc",
            *HOST_FLAGS,
            "-fno-builtin-malloc",
            "-shared",
            "-I",
            ROOT / "guest" / "include",
            "-o",
            guest / "scratch_malloc.so",
            *sources("guest/runtimes/shared/allocator/*.c"),
        )

    def build_python_runtime(self, guest: Path) -> None:
        runtime = ROOT / "guest" / "runtimes" / "python"
        name = f"_udfvm_agent{sysconfig.get_config_var('EXT_SUFFIX')}"
        run(
            "gcc",
            *HOST_FLAGS,
            "-shared",
            "-I",
            ROOT / "guest" / "include",
            "-I",
            ROOT / "guest" / "runtimes",
            "-I",
            sysconfig.get_path("include"),
            "-o",
            guest / name,
            *sources(
                "guest/runtimes/arrow/*.c", "guest/runtimes/shared/*.c", "guest/runtimes/python/*.c"
            ),
        )
        for module in runtime.glob("*.py"):
            shutil.copy(module, guest / module.name)
        for name in (
            "conversions",
            "numpy_conversions",
        ):  # under other names: the host's package is no business of guests
            text = (ROOT / "udfvm" / "types" / f"{name}.py").read_text()
            (guest / f"_udfvm_{name}.py").write_text(
                text.replace("from udfvm.types.", "from _udfvm_")
            )

    def build_compiled_runtime(self, guest: Path, language: str) -> None:
        runtimes = ROOT / "guest" / "runtimes"
        folders = ["arrow", "shared", "shared/compiled", language]
        run(
            "gcc",
            *PROGRAM_FLAGS,
            "-I",
            ROOT / "guest" / "include",
            "-I",
            runtimes,
            "-o",
            guest / language,
            *sources(*(f"guest/runtimes/{folder}/*.[cS]" for folder in folders)),
            "-ldl",
        )

    def build_sqlite(self, package: Path) -> None:
        (package / "sqlite").mkdir(exist_ok=True)
        run(
            "gcc",
            *HOST_FLAGS,
            *CONST_FLAGS,
            *sanitizers(),
            "-shared",
            STAYS_LOADED,
            "-I",
            ROOT / "udfvm" / "sqlite" / "src",
            "-I",
            ROOT / "udfvm" / "vmm" / "core",
            "-I",
            ROOT / "guest" / "include",
            "-o",
            package / "sqlite" / "udfvm_sqlite.so",
            *sources("udfvm/sqlite/src/**/*.c"),
            "-L",
            package / "vmm",
            "-ludfvm",
            "-Wl,-rpath,$ORIGIN/../vmm",
        )

    def list_syscalls(self, guest: Path) -> None:
        text = subprocess.run(
            ["gcc", "-E", "-dM", "-include", "asm/unistd_64.h", "-x", "c", "/dev/null"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.findall(r"^#define __NR_(\w+) (\d+)$", text, flags=re.MULTILINE)
        lines = (
            f"{number} {name}\n" for name, number in sorted(found, key=lambda pair: int(pair[1]))
        )
        (guest / "syscalls.txt").write_text("".join(lines))

    def write_digest(self, guest: Path) -> None:
        """The identity of all that goes into images from here."""
        digest = hashlib.sha256()
        for path in sorted(
            path for path in guest.rglob("*") if path.is_file() and path != guest / "digest"
        ):
            digest.update(
                f"{path.relative_to(guest)}\0{path.stat().st_size}\0".encode() + path.read_bytes()
            )
        (guest / "digest").write_text(digest.hexdigest() + "\n")


SMALL_CALLS = Extension(
    "udfvm.call._fast_path",
    ["udfvm/call/fast_path.c"],
    include_dirs=["udfvm/vmm/core", "guest/include"],
    libraries=["udfvm"],
    extra_compile_args=[flag for flag in (*HOST_FLAGS, *CONST_FLAGS) if flag != "-D_GNU_SOURCE"],
    extra_link_args=["-Wl,-rpath,$ORIGIN/../vmm"],
)

BINDINGS = Extension(
    "udfvm.load._bindings",
    ["udfvm/load/bindings.c"],
    extra_compile_args=[flag for flag in HOST_FLAGS if flag != "-D_GNU_SOURCE"],
)

setup(
    cffi_modules=["udfvm/vmm/build.py:ffibuilder"],
    ext_modules=[SMALL_CALLS, BINDINGS],
    cmdclass={"build_ext": BuildNative},
)
