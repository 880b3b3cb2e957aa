"""Tells a leak from noise: a series of samples is flat, or it grows.

What is judged is how the series rises from its first third to its last (medians, which single
samples do not move), and whether that is a trend: of the pairs of samples, many more rise than fall
(the test of Mann and Kendall). A leak has both. Noise that happens to end higher has no trend, and
what creeps by less than is allowed is no leak in the time of the soak. A few samples have no trend
that could be told from chance: of them the rise alone counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEW = 9
SIGNIFICANT = 3.3  # standard deviations: one series of noise of 2,000 is taken for a trend


@dataclass(frozen=True)
class Verdict:
    """How a series rose, and whether that is a leak."""

    first: float  # the level of its first third
    rise: float  # to that of the last
    allowed: float
    trend: float  # in standard deviations
    per_hour: float
    leaks: bool


def trend(series: Sequence[float]) -> float:
    """Returns how many standard deviations more pairs rise than fall."""
    score = sum(
        (later > earlier) - (later < earlier)
        for index, earlier in enumerate(series)
        for later in series[index + 1 :]
    )
    equals = [series.count(value) for value in set(series)]
    variance = sum_of_ranks(len(series)) - sum(map(sum_of_ranks, equals))
    return (score - math.copysign(1, score)) / math.sqrt(variance) if score and variance else 0.0


def sum_of_ranks(count: int) -> float:
    return count * (count - 1) * (2 * count + 5) / 18


def slope(seconds: Sequence[float], series: Sequence[float]) -> float:
    """Returns the rise a second: the median of that between all pairs (Theil and Sen)."""
    slopes = [
        (later - earlier) / (seconds[index + 1 + other] - seconds[index])
        for index, earlier in enumerate(series)
        for other, later in enumerate(series[index + 1 :])
    ]
    return statistics.median(slopes) if slopes else 0.0


def judge(seconds: Sequence[float], series: Sequence[float], count: float, share: float) -> Verdict:
    """Judges a series that may rise by so much, and by such a share of itself."""
    third = max(1, len(series) // 3)
    first, last = statistics.median(series[:third]), statistics.median(series[-third:])
    allowed, found = count + share * first, trend(series)
    rises = last - first > allowed
    return Verdict(
        first=first,
        rise=last - first,
        allowed=allowed,
        trend=round(found, 2),
        per_hour=slope(seconds, series) * 3600,
        leaks=rises and (found > SIGNIFICANT or len(series) < FEW),
    )
