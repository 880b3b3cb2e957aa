"""What a call costs. ``python bench/latency.py --json`` prints one JSON object; times in
microseconds, all taken in one run.

The measurements take turns, a few hundred calls each, so that a drift of the machine falls on all
of them alike.

    exit             an exit and re-entry of a minimal VM: the least that a call can cost
    core_native      a fresh call of a trivial C function through the core's C API, restore included
    core_python      the same for the trivial Python function ``score``
    udf_scalar       score(12.0, 300.0) through the public API
    udf_numpy_1000   a numpy body over 1,000 float64 through the public API
    udf_host_call   a call of a Python function that calls one host function, which is trivial
    udf_nested      a call of one whose host function calls ``score`` in turn: host, guest, host,
                    guest, and back
    round_trip      the part of such a call that one more call of the host function takes
    nested_rest     what udf_nested takes beyond three exits (two of the outer call, one of the
                    inner) and two restores: arguments and results as Python values, four times,
                    and the host function itself
    restore          the part of core_python that puts the VM back
    hot_pages        pages that each core_python call restores
    restore_us_per_page  restore over hot_pages: the system call that reads the dirty log is in it
    base_build_s     seconds to boot and seal a base image with numpy and pyarrow
    image_open_ms    milliseconds to open score's base image and layer from the cache
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from sampling import Sampler, python_sampler, quantiles, take_turns

ROUNDS = 20
C = "double add(double a, double b) { return a + b; }"


def measure(calls: int, directory: Path) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Returns the figures, and the samples that those of calls come from."""
    from core_calls import CoreSampler

    import udfvm
    from udfvm import vmm

    cache = Path(os.environ["UDFVM_CACHE"])

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
    base_path = next(cache.glob("*.base"))
    opened = time.perf_counter()
    base = vmm.Image.open(base_path)
    vmm.Image.open(next(cache.glob("*.layer")), base)
    image_open_ms = (time.perf_counter() - opened) * 1e3

    scaled.prepare()
    report = vmm.read_metadata(next(path for path in cache.glob("*.base") if path != base_path))

    def plain(x: float) -> float:
        return x + 1

    def nested(x: float) -> float:
        return score(x, 100.0) or 0.0

    @udfvm.udf(host_functions=[plain])
    def calls_host(x: float) -> float:
        return plain(x)

    @udfvm.udf(host_functions=[nested])
    def calls_nested(x: float, times: int) -> float:
        for _ in range(times):
            x = nested(x)
        return x

    assert (calls_host(1.0), calls_nested(1.0, 9)) == (2.0, 1.0)
    values = np.random.default_rng(0).random(1000)
    assert np.array_equal(scaled(values), values * 2 + 1)
    add = udfvm.from_c(C, "add", signature="(double, double) -> double")
    native = CoreSampler(directory, add, (12.0, 300.0))
    python = CoreSampler(directory, score, (12.0, 300.0))
    samplers: dict[str, Sampler] = {
        "exit": vmm.measure_exits,
        "core_native": native,
        "core_python": python,
        "udf_scalar": python_sampler(lambda: score(12.0, 300.0)),
        "udf_host_call": python_sampler(lambda: calls_host(1.0)),
        "udf_nested": python_sampler(lambda: calls_nested(1.0, 1)),
        "udf_nested_twice": python_sampler(lambda: calls_nested(1.0, 2)),
        "udf_numpy_1000": python_sampler(lambda: scaled(values)),
    }
    for sampler in samplers.values():
        sampler(1000)
    python.restores.clear()
    samples = take_turns(samplers, ROUNDS, calls // ROUNDS)
    result: dict[str, Any] = {name: quantiles(values) for name, values in samples.items()}
    twice = result.pop("udf_nested_twice")
    result["round_trip"] = {"p50": round(twice["p50"] - result["udf_nested"]["p50"], 2)}
    result["restore"] = quantiles(python.restores)
    floors = 3 * result["exit"]["p50"] + 2 * result["restore"]["p50"]
    result["nested_rest"] = {"p50": round(result["udf_nested"]["p50"] - floors, 2)}
    result["hot_pages"] = python.vm.statistics().hot_pages
    result["restore_us_per_page"] = round(result["restore"]["p50"] / result["hot_pages"], 3)
    result["base_build_s"] = report["seconds"]
    result["image_open_ms"] = round(image_open_ms, 2)
    result["times_exit"] = {
        name: round(value["p50"] / result["exit"]["p50"], 2)
        for name, value in result.items()
        if name in samplers or name in ("round_trip", "nested_rest")
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
