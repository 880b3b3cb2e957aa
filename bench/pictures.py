"""Draws the pictures of the documentation: ``python bench/record.py --pages`` writes them.

    boundary    what is where: the process, the micro-VM, and what crosses between the two
    latency     what a fresh call takes, beside a bare exit (docs/performance.json)
    rows        rows a second of each engine (docs/figures.json)

A test compares the files of docs/pictures with what this makes of the figures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from drawing import Drawing
from engine_costs import Pair, costs

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
CALLS = {
    "exit": "one exit and re-entry",
    "core_native": "a C function, called from C",
    "core_python": "a Python function, called from C",
    "udf_scalar": "score(12.0, 300.0), from Python",
    "udf_numpy_1000": "a numpy function, 1,000 rows",
}


def boundary(_: dict[str, Any]) -> str:
    """What is on which side."""
    drawing = Drawing(860, 400, "What is in your process, and what is in the micro-VM")
    drawing.box(16, 16, 330, 294, "fill-host stroke-blue")
    drawing.text(34, 42, "your process", "fill-ink title")
    callers = (
        ("score(12.0, 300.0)", "a call"),
        ("score(column, column)", "a batch"),
        ("SELECT score(a, b) FROM t", "a statement"),
    )
    for number, (code, what) in enumerate(callers):
        drawing.text(34, 76 + 26 * number, code)
        drawing.text(330, 76 + 26 * number, what, "fill-faint small end")
    drawing.box(34, 150, 294, 64, "fill-ground stroke-blue")
    drawing.text(48, 176, "the core, and the host's checks")
    drawing.text(48, 198, "limits; every byte that returns is checked", "fill-faint small")
    drawing.box(34, 230, 294, 64, "fill-ground stroke-blue")
    drawing.text(48, 256, "what a function may ask for")
    drawing.text(48, 278, "the host functions it was given; package files", "fill-faint small")

    drawing.box(514, 16, 330, 294, "fill-guest stroke-orange")
    drawing.text(532, 42, "micro-VM: KVM, one vCPU", "fill-ink title")
    drawing.box(532, 58, 294, 84, "fill-ground stroke-orange")
    drawing.text(546, 84, "your function, which nobody trusts")
    drawing.text(546, 106, "in CPython with your packages,", "fill-faint small")
    drawing.text(546, 124, "in wasmtime, or as native code", "fill-faint small")
    drawing.box(532, 150, 294, 64, "fill-ground stroke-orange")
    drawing.text(546, 176, "guest kernel, at ring 3")
    drawing.text(546, 198, "serves the system calls of Linux", "fill-faint small")
    drawing.text(532, 250, "no devices, no network, no processes")
    drawing.text(532, 272, "no guest operating system")

    drawing.line(430, 16, 430, 310, "stroke-orange thick dashed")
    drawing.text(430, 332, "the boundary", "fill-orange middle")
    for y, what, leads_in in (
        (94, "input window", True),
        (176, "output window", False),
        (256, "few hypercalls", False),
    ):
        drawing.box(376, y - 25, 108, 18, "fill-ground", 0)
        drawing.text(430, y - 12, what, "fill-ink small middle")
        if leads_in:
            drawing.arrow(352, y, 508, y, "blue")
        else:
            drawing.arrow(508, y, 352, y, "orange")

    drawing.box(514, 344, 330, 40, "fill-guest stroke-orange")
    drawing.text(679, 369, "the sealed image of the micro-VM", "fill-ink middle")
    drawing.arrow(679, 342, 679, 313, "orange")
    drawing.text(
        500, 362, "after a call, a batch or a statement, the pages", "fill-faint small end"
    )
    drawing.text(500, 380, "that it wrote are put back from the image", "fill-faint small end")
    return drawing.svg()


def latency(measured: dict[str, Any]) -> str:
    """Medians of fresh calls, as bars from the bare exit on."""
    figures = measured["latency"]
    floor = figures["exit"]["p50"]
    drawing = Drawing(860, 300, "What a fresh call takes, compared with a bare exit")
    drawing.text(16, 30, "A fresh call, beside the least that it can cost", "fill-ink title")
    drawing.text(16, 50, "medians in microseconds, under PVM", "fill-faint small")
    left, scale = 270, 500 / max(figures[name]["p50"] for name in CALLS)
    for number, (name, label) in enumerate(CALLS.items()):
        y, median = 70 + 40 * number, figures[name]["p50"]
        colour = "faint" if name == "exit" else "blue"
        drawing.text(left - 12, y + 19, label, "fill-ink end")
        drawing.box(left, y, median * scale, 26, f"fill-{colour}", 3)
        drawing.text(left + median * scale + 8, y + 19, f"{median:.0f}")
        if name != "exit":
            times = f"{median / floor:.1f} times"
            drawing.text(left + 10, y + 18, times, "fill-ground small")
    drawing.line(left + floor * scale, 62, left + floor * scale, 272, "stroke-ink dashed")
    drawing.text(left + floor * scale, 290, "the exit latency", "fill-faint small middle")
    return drawing.svg()


def rows(measured: dict[str, Any]) -> str:
    """Rows a second of each engine: in micro-VMs, and by the engine's own functions."""
    entries = [cost for cost in costs(measured) if cost.title != "Arrow Flight"]  # has no own
    height = 132 + 24 * len(entries)
    drawing = Drawing(860, height, "Rows a second of functions in each engine")
    drawing.text(16, 30, "Rows a second, in millions", "fill-ink title")
    drawing.dot(300, 25, "fill-blue")
    drawing.text(312, 30, "in micro-VMs", "fill-ink small")
    drawing.dot(420, 25, "stroke-orange hollow")
    drawing.text(432, 30, "the engine's own functions, without a boundary", "fill-ink small")
    for number, cost in enumerate(entries):
        drawing.text(134, 97 + 24 * number, cost.title, "fill-ink end")
    panel(drawing, 150, 2, "pure Python, row by row", [cost.python for cost in entries])
    panel(drawing, 400, 4, "by columns: numpy, Arrow", [cost.columns for cost in entries])
    drawing.text(16, height - 8, "measured under PVM with two processors", "fill-faint small")
    return drawing.svg()


def panel(drawing: Drawing, left: int, decades: int, title: str, pairs: list[Pair | None]) -> None:
    """Draws a line for each engine, over so many powers of ten from one million on."""

    def place(rows_per_second: float) -> float:
        return left + 104 * math.log10(rows_per_second / 1e6)

    bottom = 92 + 24 * len(pairs)
    drawing.text(left, 62, title)
    for power in range(decades + 1):
        x = place(10 ** (6 + power))
        drawing.line(x, 74, x, bottom, "stroke-rule")
        drawing.text(x, bottom + 17, f"{10**power:,}", "fill-faint small middle")
    for number, pair in enumerate(pairs):
        if pair is not None:
            y = 92 + 24 * number
            in_vms, own = (place(1e9 / nanoseconds) for nanoseconds in pair)
            drawing.line(in_vms, y, own, y, "stroke-faint")
            drawing.dot(own, y, "stroke-orange hollow")
            drawing.dot(in_vms, y, "fill-blue")


DRAWN = {"boundary": boundary, "latency": latency, "rows": rows}


def drawn(measured: dict[str, Any]) -> dict[str, str]:
    """The pictures of these figures, by name."""
    return {name: draw(measured) for name, draw in DRAWN.items()}


def write(measured: dict[str, Any]) -> None:
    """Writes the pictures into docs/pictures."""
    PICTURES.mkdir(exist_ok=True)
    for name, text in drawn(measured).items():
        (PICTURES / f"{name}.svg").write_text(text)
