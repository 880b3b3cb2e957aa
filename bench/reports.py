"""What the report of a call costs it. ``python bench/reports.py --json`` prints one JSON object;
times in microseconds, all taken in one run, in turns.

    unnoted    a fresh call of ``score`` through the core, whose limits name no account
    noted      the same with the account of the function, which has ``last_call`` and the sums
    ratio      the medians: noted over unnoted
    last_call  reading the report, which a call does not wait for
    example    the report of a call of ``score``: of those of the run, the median by its time

Time stamps are taken in both: some eight, of a few nanoseconds each.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from typing import Any

import click
from sampling import python_sampler, quantiles, take_turns

ROUNDS = 20
EXAMPLE = (
    *("seconds", "host_seconds", "copy_seconds", "guest_seconds", "restore_seconds"),
    *("peak_memory_bytes", "pages_restored", "written_bytes", "input_bytes", "output_bytes"),
)
# As guest/include/udfvm_abi.h has them.
REQUEST_ROW, FLOAT64 = 3, 2
ROW = struct.pack("<II IId IId", 2, 0, FLOAT64, 0, 12.0, FLOAT64, 0, 300.0)


def measure(calls: int) -> dict[str, Any]:
    """Returns the figures."""
    import udfvm
    from udfvm import vmm

    @udfvm.udf
    def score(dep_delay: float, distance: float) -> float | None:
        return None if distance == 0 else dep_delay / distance * 100

    assert score(12.0, 300.0) == 4.0
    image = score.image
    assert image.base is not None
    pool = vmm.ImagePool(image.base, 1)
    accounts: dict[str, Any] = {}
    account = vmm.account_in(accounts, "score")  # outlives the limits
    limits = {
        "unnoted": vmm.core_limits(score.limits),
        "noted": vmm.core_limits(score.limits, account=account),
    }

    def call_with(chosen: Any) -> Callable[[], object]:
        return lambda: pool.fresh_call(image, REQUEST_ROW, ROW, chosen)

    samplers = {name: python_sampler(call_with(chosen)) for name, chosen in limits.items()}
    samplers["last_call"] = python_sampler(lambda: score.last_call)
    samples = take_turns(samplers, ROUNDS, max(1, calls // ROUNDS))
    figures: dict[str, Any] = {name: quantiles(values) for name, values in samples.items()}
    figures["ratio"] = round(figures["noted"]["p50"] / figures["unnoted"]["p50"], 4)
    return {**figures, "calls": calls, "example": example(score, calls)}


def example(function: Any, calls: int) -> dict[str, float]:
    """Returns what the median of so many reports has."""
    reports = []
    for _ in range(calls):
        function(12.0, 300.0)
        reports.append(function.last_call)
    median = sorted(reports, key=lambda report: report.seconds)[calls // 2]
    return {name: getattr(median, name) for name in EXAMPLE}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--calls", default=10_000, show_default=True, help="Calls of each kind.")
def main(as_json: bool, calls: int) -> None:
    """Measures what the report of a call costs."""
    result = measure(calls)
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, value in result.items():
        print(f"{name:10} {value}")


if __name__ == "__main__":
    main()
