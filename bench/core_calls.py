"""Fresh calls through the core's C API: what a call costs where no Python runs on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cffi

import udfvm
from udfvm import vmm

HERE = Path(__file__).resolve().parent
PROTOTYPE = "int bench_fresh_calls(void *, double, double, double *, double *, size_t);"


class CoreSampler:
    """Fresh calls of a scalar function of two floats, in a VM of its own. Keeps the times of the
    restores, in microseconds.
    """

    def __init__(
        self, directory: Path, function: udfvm.ScalarFunction, arguments: tuple[float, float]
    ) -> None:
        self._ffi = cffi.FFI()
        self._ffi.cdef(PROTOTYPE)
        self._library: Any = self._ffi.dlopen(str(compiled(directory)))
        self._arguments = arguments
        self.vm = vmm.VM.open(function.image)
        self._handle = self._ffi.cast("void *", self.vm.address)
        self.restores: list[float] = []

    def __call__(self, count: int) -> list[float]:
        calls, restores = self._ffi.new("double[]", count), self._ffi.new("double[]", count)
        code = self._library.bench_fresh_calls(
            self._handle, *self._arguments, calls, restores, count
        )
        if code:
            raise RuntimeError(f"the core failed with code {code}")
        self.restores += list(restores)
        return list(calls)


def compiled(directory: Path) -> Path:
    """Returns the library made of ``fresh_calls.c``."""
    return built("fresh_calls.c", directory / "fresh_calls.so", "-shared", "-fPIC")


def built(source: str, target: Path, *options: str) -> Path:
    """Returns what was made of a file in C that uses the core, where it is not made yet."""
    if not target.exists():
        core = Path(vmm.__file__).parent
        warnings = ["-O2", "-Wall", "-Wextra", "-Werror"]
        headers = [f"-I{HERE.parent / 'guest' / 'include'}", f"-I{core / 'core'}"]
        library = [f"-L{core}", "-ludfvm", f"-Wl,-rpath,{core}"]
        files = [str(HERE / source), "-o", str(target)]
        subprocess.run(["gcc", *warnings, *options, *headers, *files, *library], check=True)
    return target
