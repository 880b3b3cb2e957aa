"""Measures, and draws what it measured: ``python bench/plot.py`` writes docs/performance.svg, and
docs/performance.json with the figures.

Left, the distribution of what a call costs against a bare exit (``bench/latency.py``); right, what
a row of a batch costs against the size of the batch (``bench/arrow.py``). Both are measured in this
one run. ``--figures`` draws those of an earlier run instead. Needs matplotlib: ``pip install -e
'.[plot]'``.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import arrow
import click
import latency
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

DOCS = Path(__file__).resolve().parent.parent / "docs"
CALLS = {
    "exit": "one exit and re-entry",
    "core_native": "C function",
    "core_python": "Python function, from C",
    "udf_scalar": "score(12.0, 300.0)",
    "udf_numpy_1000": "numpy body, 1,000 rows",
}
QUANTILES = np.round(np.concatenate([np.arange(0, 0.99, 0.01), np.arange(0.99, 0.9995, 0.001)]), 4)


def measure(calls: int, rows: int, repeats: int) -> dict[str, Any]:
    """Returns the figures of both benchmarks, and quantiles of the calls' times."""
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ["UDFVM_CACHE"] = str(Path(name) / "cache")  # the build is measured too
        figures, samples = latency.measure(calls, Path(name))
        batches = arrow.measure(rows, repeats)
    microseconds = {
        name: np.round(np.quantile(each, QUANTILES), 2).tolist() for name, each in samples.items()
    }
    return {
        "latency": figures,
        "arrow": batches,
        "quantiles": QUANTILES.tolist(),
        "microseconds": microseconds,
    }


def draw_latency(axes: Axes, figures: dict[str, Any]) -> None:
    """Draws cumulative distributions."""
    percent = np.array(figures["quantiles"]) * 100
    for name, label in CALLS.items():
        median = figures["latency"][name]["p50"]
        style = {"linestyle": "--", "color": "black"} if name == "exit" else {}
        axes.plot(
            figures["microseconds"][name], percent, label=f"{label}: {median:.0f} µs", **style
        )
    axes.set_xscale("log")
    axes.set_xlabel("microseconds of a fresh call")
    axes.set_ylabel("percent of calls that take no longer")
    axes.set_title("A call against a bare exit (in the legend: medians)")
    low, high = axes.get_xlim()
    axes.set_xticks(
        [
            tick
            for decade in (1, 10, 100, 1000, 10_000)
            for tick in (decade, 2 * decade, 3 * decade, 5 * decade, 7 * decade)
        ]
    )
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def draw_rows(axes: Axes, figures: dict[str, Any]) -> None:
    """Draws nanoseconds a row against rows."""
    entries = figures["arrow"]["by_rows"]
    rows = [entry["rows"] for entry in entries]
    axes.plot(
        rows,
        [entry["vm_compute_ns_per_row"] for entry in entries],
        "o-",
        label="in a fresh micro-VM",
    )
    axes.plot(
        rows,
        [entry["host_compute_ns_per_row"] for entry in entries],
        "o--",
        color="black",
        label="in this process",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows of a batch (one batch is one call)")
    axes.set_ylabel("nanoseconds per row")
    axes.set_title("x * 2 + 1 over float64, through pyarrow.compute")


def draw(figures: dict[str, Any], path: Path) -> None:
    """Writes the plot. The same figures give the same file."""
    mpl.rcParams.update({"svg.hashsalt": "udfvm", "font.size": 9})
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_latency(left, figures)
    draw_rows(right, figures)
    left.legend(loc="lower right")
    right.legend()
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=DOCS,
    help="Folder to write to; docs, if not given.",
)
@click.option(
    "--figures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Draw these, of an earlier run.",
)
@click.option("--calls", default=6000, show_default=True, help="Calls of each kind.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of the largest batch.")
@click.option(
    "--repeats", default=30, show_default=True, help="Calls with a large batch, of each kind."
)
def main(output: Path, figures: Path | None, calls: int, rows: int, repeats: int) -> None:
    """Measures, and draws."""
    output.mkdir(parents=True, exist_ok=True)
    measured = json.loads(figures.read_text()) if figures else measure(calls, rows, repeats)
    if figures is None:
        (output / "performance.json").write_text(json.dumps(measured) + "\n")
    draw(measured, output / "performance.svg")


if __name__ == "__main__":
    main()
