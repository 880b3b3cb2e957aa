"""What it takes to register another function. ``python bench/layers.py --json`` prints one JSON
object.

    base_pages, base_mib   pages of 4 KiB that the base image stores, and its size on disk
    register_ms            from the decorator to an image ready for calls, for a new function on a
                           base image that is open: pickled, unpickled in a VM, warmed up, sealed,
                           written to the cache and opened; the median
    first_ms               the same for the first, which also opens a VM
    layer_pages, layer_mib pages in which the function's image differs from its base, and its size
                           on disk; the median
    one_function           microseconds of a call where one VM serves one function
    taking_turns           the same where one VM serves two functions by turns: each call moves it
                           from one layer to the other
    move                   the difference
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from typing import Any

import click
from sampling import python_sampler, quantiles, take_turns

import udfvm

MIB = 1 << 20


def function(number: int, pool: udfvm.Pool) -> udfvm.ScalarFunction:
    """Returns a function that no image in the cache has."""

    @udfvm.udf(packages=["numpy", "pyarrow"], pool=pool, name=f"score_{number}")
    def score(dep_delay: float, distance: float) -> float | None:
        return None if distance == number else dep_delay / distance * 100

    return score


def disk(image: Any) -> float:
    return float(os.stat(image.path).st_blocks * 512 / MIB)


def measure(functions: int, calls: int) -> dict[str, Any]:
    with udfvm.Pool(size=1) as pool:
        function(functions + 1, pool).prepare()  # boots the base image
        pool.trim()
        made, times = [], []
        for number in range(functions + 1):
            started = time.perf_counter()
            made.append(function(number, pool).prepare())
            times.append(1e3 * (time.perf_counter() - started))
        one, other = made[0], made[1]
        turns = iter(range(1 << 62))
        samples = take_turns(
            {
                "one_function": python_sampler(lambda: one(12.0, 300.0)),
                "taking_turns": python_sampler(lambda: (one, other)[next(turns) % 2](12.0, 300.0)),
            },
            rounds=10,
            per_round=max(1, calls // 10),
        )
        base = one.image.base
        result: dict[str, Any] = {
            "base_pages": base.pages,
            "base_mib": round(disk(base), 1),
            "register_ms": round(statistics.median(times[1:]), 1),
            "first_ms": round(times[0], 1),
            "layer_pages": statistics.median_low(each.image.pages for each in made),
            "layer_mib": round(statistics.median(disk(each.image) for each in made), 2),
        }
        medians = {name: round(quantiles(values)["p50"], 1) for name, values in samples.items()}
    return {
        **result,
        **medians,
        "move": round(medians["taking_turns"] - medians["one_function"], 1),
    }


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--functions", default=20, show_default=True, help="Functions to register.")
@click.option("--calls", default=2000, show_default=True, help="Calls to time.")
def main(as_json: bool, functions: int, calls: int) -> None:
    """Prints the measurements."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["UDFVM_CACHE"] = directory  # an empty cache, so that every function is new
        result = measure(functions, calls)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:14} {value}")


if __name__ == "__main__":
    main()
