"""Draws what a soak measured: a picture for each quantity, against time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MIB = 1 << 20
# Title, and for each line its label, its quantity and its unit.
PICTURES: tuple[tuple[str, tuple[tuple[str, str, float], ...]], ...] = (
    ("memory, in MiB", (("resident", "resident", MIB),)),
    ("open descriptors", (("descriptors", "descriptors", 1),)),
    ("mappings", (("mappings", "mappings", 1),)),
    (
        "threads and processes",
        (("threads", "threads", 1), ("child processes", "children", 1)),
    ),
    ("image cache on disk, in MiB", (("cache", "cache", MIB),)),
    (
        "a call, in microseconds",
        (
            ("p99", "p99", 1),
            ("median", "median", 1),
            ("median of a bare exit", "exit_median", 1),
        ),
    ),
)


def draw_quantities(
    axes: Axes,
    samples: list[dict[str, Any]],
    warm_up: int,
    lines: tuple[tuple[str, str, float], ...],
) -> None:
    """Draws one picture; the warm-up is grey."""
    minutes = [sample["seconds"] / 60 for sample in samples]
    for label, quantity, unit in lines:
        style = {"linestyle": "--", "color": "black"} if quantity.startswith("exit") else {}
        axes.plot(minutes, [sample[quantity] / unit for sample in samples], label=label, **style)
    if warm_up:
        axes.axvspan(0, minutes[warm_up - 1], color="black", alpha=0.08, linewidth=0)
    axes.set_xlim(0, minutes[-1])
    axes.grid(visible=True, alpha=0.3)
    if len(lines) > 1:
        axes.legend()


def draw(soak: dict[str, Any], path: Path) -> None:
    """Writes the plot. The same figures give the same file."""
    mpl.rcParams.update({"svg.hashsalt": "udfvm", "font.size": 9})
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(2, 3).flat
    for axes, (title, lines) in zip(grid, PICTURES, strict=True):
        draw_quantities(axes, soak["samples"], soak["warm_up"], lines)
        axes.set_title(title)
        axes.set_xlabel("minutes")
        if title.startswith("a call"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    figure.savefig(path, metadata={"Date": None})
