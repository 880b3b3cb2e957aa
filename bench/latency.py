"""What a call costs. ``python bench/latency.py --json`` prints one JSON object; times in
microseconds, all taken in one run.

The measurements take turns, a few hundred calls each, so that a drift of the machine falls on all
of them alike.

    exit             an exit and re-entry of a minimal VM: the least that a call can cost
    core_native      a fresh call of a trivial C function through the core's C API, restore included
    core_python      the same for the trivial Python function ``score``
    udf_scalar       score(12.0, 300.0) through the public API
    udf_numpy_1000   a numpy body over 1,000 float64 through the public API
    restore          the part of core_python that puts the VM back
    hot_pages        pages that each core_python call restores
    restore_us_per_page  restore over hot_pages: the system call that reads the dirty log is in it
    base_build_s     seconds to boot and seal a base image with numpy and pyarrow
    image_open_ms    milliseconds to open score's base image and layer from the cache
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cffi
import click
import numpy as np
from sampling import Sampler, python_sampler, quantiles, take_turns

HERE = Path(__file__).resolve().parent
ABI = HERE.parent / "guest" / "include"
ROUNDS = 20


def compiled(directory: Path, source: str, *flags: str) -> Path:
    """Compiles a C file of this folder."""
    target = directory / Path(source).stem
    import udfvm.vmm

    core = Path(udfvm.vmm.__file__).parent
    warnings = ("-Wall", "-Wextra", "-Werror")
    command = [
        "gcc",
        "-O2",
        *warnings,
        f"-I{ABI}",
        f"-I{core / 'core'}",
        str(HERE / source),
        "-o",
        str(target),
        f"-L{core}",
        *flags,
    ]
    subprocess.run(command, check=True)
    return target


def native_program(directory: Path, source: str) -> tuple[Any, Any]:
    """The image of a VM sealed in a static C program of this folder, and the files that it was
    booted from.
    """
    from udfvm import vmm
    from udfvm.images.hostfs import HostFS
    from udfvm.installation import GUEST
    from udfvm.limits import Limits

    program = compiled(directory, source, "-static")
    memory = window = 16 << 20
    payload = struct.pack("<QQII", memory, 0, 1, 0) + os.fsencode(program) + b"\0"
    files = HostFS([directory])
    booted, _ = vmm.boot(
        (GUEST / "kernel.bin").read_bytes(), payload, memory, window, files, Limits(memory=memory)
    )
    key = vmm.sha256(source.encode()).hex()
    path = directory / f"{key}.base"
    with booted, path.open("w+b") as image:
        booted.seal(image.fileno(), b"{}", key)
    return vmm.Image.open(path), files


def native_vm(directory: Path) -> Any:
    """A VM sealed in the trivial C program."""
    from udfvm import vmm

    return vmm.VM.open(*native_program(directory, "native_guest.c"))


class CoreSampler:
    """Calls of one VM through the C API. Keeps the times of the restores."""

    def __init__(self, library: Any, ffi: cffi.FFI, vm: Any, request: int, payload: bytes) -> None:
        self._library, self._ffi, self._request, self._payload = library, ffi, request, payload
        self.vm = vm
        self._handle = ffi.cast("void *", vm.address)
        self.restores: list[float] = []

    def __call__(self, count: int) -> list[float]:
        calls, restores = self._ffi.new("double[]", count), self._ffi.new("double[]", count)
        code = self._library.bench_fresh_calls(
            self._handle, self._request, self._payload, len(self._payload), calls, restores, count
        )
        if code:
            raise RuntimeError(f"the core failed with code {code}")
        self.restores += list(restores)
        return list(calls)


def measure(calls: int, directory: Path) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The figures, and the samples that those of calls come from."""
    import udfvm
    from udfvm import protocol, vmm
    from udfvm.codec.rows import RowCodec
    from udfvm.images.cache_files import cache_directory

    ffi = cffi.FFI()
    ffi.cdef(
        "int bench_fresh_calls(void *, uint32_t, const char *, uint64_t, double *, double *,"
        " size_t);"
    )
    core = Path(vmm.__file__).parent
    library: Any = ffi.dlopen(
        str(
            compiled(
                directory, "fresh_calls.c", "-shared", "-fPIC", "-ludfvm", f"-Wl,-rpath,{core}"
            )
        )
    )

    @udfvm.udf
    def score(dep_delay: float, distance: float) -> float | None:
        return None if distance == 0 else dep_delay / distance * 100

    @udfvm.udf(
        vectorized=True,
        input_types=["double"],
        output_type="double",
        sample=(np.linspace(0, 1, 1000),),
    )
    def scaled(x: np.ndarray) -> np.ndarray:
        return x * 2 + 1

    score.prepare()
    base_path = next(cache_directory().glob("*.base"))
    opened = time.perf_counter()
    base = vmm.Image.open(base_path)
    vmm.Image.open(next(cache_directory().glob("*.layer")), base)
    image_open_ms = (time.perf_counter() - opened) * 1e3

    scaled.prepare()
    report = vmm.read_metadata(
        next(path for path in cache_directory().glob("*.base") if path != base_path)
    )

    values = np.random.default_rng(0).random(1000)
    assert np.array_equal(scaled(values), values * 2 + 1)
    native = CoreSampler(
        library, ffi, native_vm(directory), protocol.REQUEST_ROW, np.array([12.0, 300.0]).tobytes()
    )
    python_vm = vmm.VM.open(score.image)
    rows = RowCodec(score.name, score.parameters, score.result)
    row = rows.encode((12.0, 300.0))
    python = CoreSampler(library, ffi, python_vm, protocol.REQUEST_ROW, row)
    samplers: dict[str, Sampler] = {
        "exit": vmm.measure_exits,
        "core_native": native,
        "core_python": python,
        "udf_scalar": python_sampler(lambda: score(12.0, 300.0)),
        "udf_numpy_1000": python_sampler(lambda: scaled(values)),
    }
    for sampler in samplers.values():
        sampler(1000)
    python.restores.clear()
    samples = take_turns(samplers, ROUNDS, calls // ROUNDS)
    result: dict[str, Any] = {name: quantiles(values) for name, values in samples.items()}
    result["restore"] = quantiles(python.restores)
    result["hot_pages"] = python_vm.statistics().hot_pages
    result["restore_us_per_page"] = round(result["restore"]["p50"] / result["hot_pages"], 3)
    result["base_build_s"] = report["seconds"]
    result["image_open_ms"] = round(image_open_ms, 2)
    result["times_exit"] = {
        name: round(result[name]["p50"] / result["exit"]["p50"], 2) for name in samplers
    }
    result["calls"] = calls
    return result, samples


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--calls", default=6000, show_default=True, help="Calls of each kind.")
def main(as_json: bool, calls: int) -> None:
    """Measures what a call costs."""
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ["UDFVM_CACHE"] = str(Path(name) / "cache")  # the build is measured too
        result, _ = measure(calls, Path(name))
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, value in result.items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
