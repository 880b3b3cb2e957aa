"""Timing of several things in one run, in turns, so that a drift of the machine affects all
alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Sampler = Callable[[int], list[float]]  # a number of calls; microseconds of each


def python_sampler(call: Callable[[], object]) -> Sampler:
    """Returns a sampler of calls of a Python function."""

    def sample(count: int) -> list[float]:
        clock = time.perf_counter_ns
        samples = []
        for _ in range(count):
            started = clock()
            call()
            samples.append((clock() - started) / 1e3)
        return samples

    return sample


def take_turns(
    samplers: Mapping[str, Sampler], rounds: int, per_round: int, settle: int = 20
) -> dict[str, list[float]]:
    """Returns the microseconds of ``rounds * per_round`` calls of each.

    The first ``settle`` calls of a turn do not count: the caches still have another's data.
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, sampler in samplers.items():
            sampler(settle)
            samples[name] += sampler(per_round)
    return samples


def quantiles(samples: list[float]) -> dict[str, float]:
    """Returns the median and the 99th percentile."""
    ordered = sorted(samples)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p99": round(ordered[len(ordered) * 99 // 100], 2),
    }
