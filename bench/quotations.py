"""The figures that the documentation quotes, and where they come from.

Each ``Quotation`` is a passage of a page in which ``{}`` stands for a figure, and the figures that
belong there, computed from ``docs/performance.json`` (``bench/plot.py``) and ``docs/figures.json``
(``bench/record.py``). A test compares the pages with them; ``update`` writes them into the pages.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from engine_costs import costs

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {
    "README.md": DOCS.parent / "README.md",
    "choosing.md": DOCS / "choosing.md",
    "cost.md": DOCS / "cost.md",
    "performance.md": DOCS / "performance.md",
    "seeing.md": DOCS / "seeing.md",
    "tutorial.md": DOCS / "tutorial.md",  # which leaves figures to the others
}
# Of the guests of bench/guests.py, in the order of the columns of choosing.md.
IN_VMS = ("python", "vectorized", "wasm", "native")
GUESTS = (*IN_VMS, "wasmtime_in_process")
FIGURE = r"(\d(?:[\d.,]*\d)?(?: (?:ns|µs|ms|s|KiB|MiB|GiB)\b)?)"


class Quotation(NamedTuple):
    """A passage of a page, with ``{}`` for each figure."""

    page: str
    text: str
    figures: list[str]

    def pattern(self) -> re.Pattern[str]:
        words = re.sub(r"(?:\\ )+", r"\\s+", re.escape(self.text))
        return re.compile(words.replace(re.escape("{}"), FIGURE))


def short(value: float) -> str:
    """Two significant digits, never with an exponent."""
    digits = float(f"{value:.2g}")
    return f"{digits:g}" if digits < 10_000 else f"{digits:,.0f}"


def duration(seconds: float) -> str:
    """Two significant digits, with the unit that suits them."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.95 * scale:
            return f"{short(seconds / scale)} {unit}"
    return f"{short(seconds / 1e-9)} ns"


def size(count: float) -> str:
    """Two significant digits of MiB."""
    return f"{short(count / (1 << 20))} MiB"


def load() -> dict[str, Any]:
    """Returns what both files have."""
    measured: dict[str, Any] = {}
    for name in ("performance.json", "figures.json"):
        measured |= json.loads((DOCS / name).read_text())
    return measured


def of_languages(guests: dict[str, Any]) -> list[Quotation]:
    """Returns the table of choosing.md."""

    def row(text: str, figures: list[str]) -> Quotation:
        return Quotation("choosing.md", text, figures)

    compared = [short(guests[name]["call_us"] / guests["python"]["call_us"]) for name in GUESTS]
    batches = [duration(guests[name]["batch_ns_per_row"] * 1e-9) for name in GUESTS]
    return [
        row(
            "| first build, empty cache | {} | {} | {} | {} | - |",
            [duration(guests[name]["first_s"]) for name in IN_VMS],
        ),
        row(
            "| another function | {} | {} | {} | {} | {} |",
            [duration(guests[name]["build_s"]) for name in GUESTS],
        ),
        row(
            "| base image on disk, shared | {} | {} | {} | {} | - |",
            [size(guests[name]["base_bytes"]) for name in IN_VMS],
        ),
        row(
            "| image of the function | {} | {} | {} | {} | - |",
            [size(guests[name]["layer_bytes"]) for name in IN_VMS],
        ),
        row(
            "| a call, compared with Python | {}x | {}x | {}x | {}x | {}x |",
            compared,
        ),
        row("| a row of a batch | {} | {} | {} | {} | {} |", batches),
        row("exit and re-entry (the exit latency) took {}", [duration(guests["exit_us"] * 1e-6)]),
        row("a batch of {} rows", [f"{guests['rows']:,}"]),
    ]


def of_calls(latency: dict[str, Any]) -> list[Quotation]:
    """Returns how a fresh call compares with the exit latency."""
    times = latency["times_exit"]
    from_python = f"{times['udf_scalar']:.1f}"
    return [
        Quotation("README.md", "from Python takes {} times", [from_python]),
        Quotation("performance.md", "from Python takes {} times", [from_python]),
        Quotation(
            "performance.md",
            "| one exit and re-entry | {} | 1x |",
            [duration(latency["exit"]["p50"] * 1e-6)],
        ),
        *(
            Quotation(
                "performance.md",
                f"| {what} | {{}} | {{}}x |",
                [duration(latency[name]["p50"] * 1e-6), f"{times[name]:.1f}"],
            )
            for what, name in (
                ("a C function, through the C interface", "core_native"),
                ("a Python function, through the C interface", "core_python"),
                ("`score(12.0, 300.0)`, from Python", "udf_scalar"),
                ("a numpy function over 1,000 rows, from Python", "udf_numpy_1000"),
            )
        ),
        Quotation(
            "performance.md",
            "put back {} pages in {}",
            [str(latency["hot_pages"]), duration(latency["restore"]["p50"] * 1e-6)],
        ),
    ]


def of_batches(arrow: dict[str, Any]) -> list[Quotation]:
    by_rows = {entry["rows"]: entry for entry in arrow["by_rows"]}
    return [
        *(
            Quotation(
                "performance.md",
                f"| {rows:,} | {{}} | {{}} | {{}} |",
                [
                    duration(by_rows[rows]["vm_compute_us"] * 1e-6),
                    duration(by_rows[rows]["vm_compute_ns_per_row"] * 1e-9),
                    duration(by_rows[rows]["host_compute_us"] * 1e-6),
                ],
            )
            for rows in (1, 100, 10_000, 1_000_000)
        ),
        Quotation(
            "performance.md",
            "`x * 2 + 1` takes {} times as long as in the process",
            [f"{arrow['affine']['times_host']:.1f}"],
        ),
        Quotation(
            "performance.md",
            "For `exp(sin(x))` the ratio is {}",
            [f"{arrow['heavy']['times_host']:.1f}"],
        ),
    ]


def of_sql(sqlite: dict[str, Any]) -> list[Quotation]:
    above = sqlite["above_scan"]
    return [
        *(
            Quotation("performance.md", f"| {what} | {{}} |", [duration(above[name] * 1e-6)])
            for what, name in (
                ("C function in a micro-VM", "native"),
                ("Python function in a micro-VM", "python"),
                ("Python function stored in the database", "stored"),
                ("Python lambda in the process, through apsw", "lambda"),
                ("WebAssembly in the process, through wasmtime-py", "wasmtime"),
            )
        ),
        Quotation("performance.md", "over {} flights", [f"{sqlite['rows']:,}"]),
        Quotation(
            "performance.md",
            "costs {} times a fresh call through the C interface",
            [f"{sqlite['row_times_fresh_call']:.1f}"],
        ),
    ]


def of_engines(measured: dict[str, Any]) -> list[Quotation]:
    """Returns the tables of cost.md, of which each names its engine."""
    tables = []
    for cost in costs(measured):
        head = cost.title if cost.version is None else f"{cost.title} {{}}"
        rows, figures = "", [] if cost.version is None else [cost.version]
        for body, pair in (("pure Python", cost.python), ("columns", cost.columns)):
            if pair is not None:
                rows += f" | {body} | {{}} | {{}} | {{}} |"
                figures += [*(duration(each * 1e-9) for each in pair), short(pair[0] / pair[1])]
        text = (
            f"| {head} | in micro-VMs | {cost.compared} | ratio | | --- | --- | --- | --- |{rows}"
        )
        tables.append(Quotation("cost.md", text, figures))
        if cost.handover is not None:
            handover = [duration(cost.handover * 1e-9)]
            tables.append(Quotation("cost.md", f"{cost.title}'s handover: {{}} a row", handover))
    large = measured["large"]["duckdb"]
    ratios = [short(large[f"{body}_ratio"]) for body in ("python", "numpy")]
    tables.append(Quotation("cost.md", "Over 20,000,000 rows, the ratios are {} and {}.", ratios))
    return tables


def of_host_calls(latency: dict[str, Any]) -> list[Quotation]:
    """Returns what host functions cost, and what no such call can cost less than."""
    times = latency["times_exit"]
    least = 3 + 2 * latency["restore"]["p50"] / latency["exit"]["p50"]
    return [
        *(
            Quotation(
                "performance.md",
                f"| {what} | {{}} | {{}}x |",
                [duration(latency[name]["p50"] * 1e-6), f"{times[name]:.1f}"],
            )
            for what, name in (
                ("a function that calls a host function once", "udf_host_call"),
                ("the same, whose host function calls `score`", "udf_nested"),
            )
        ),
        Quotation("performance.md", "which is {} times the exit latency", [f"{least:.1f}"]),
    ]


def of_processes(measured: dict[str, Any]) -> list[Quotation]:
    """New processes, new functions, idle VMs."""
    start, layers, density = (measured[name] for name in ("coldstart", "layers", "density"))
    texts = [
        ("first result after {} times", [f"{start['times_host']:.1f}"]),
        ("importing udfvm takes {}", [duration(start["parts"]["import"] * 1e-3)]),
        ("opening the image {}", [duration(start["parts"]["open"] * 1e-3)]),
        ("the first call {}", [duration(start["parts"]["call"] * 1e-3)]),
        ("takes {} from the decorator", [duration(layers["register_ms"] * 1e-3)]),
        (
            "{} of the {} pages of its base",
            [f"{layers['layer_pages']:,}", f"{layers['base_pages']:,}"],
        ),
        ("costs {} more", [duration(layers["move"] * 1e-6)]),
        ("{} idle micro-VMs", [str(density["vms"])]),
        ("{} of private memory", [f"{short(density['private'])} MiB"]),
        ("share {}", [f"{short(density['shared'])} MiB"]),
    ]
    return [Quotation("performance.md", text, figures) for text, figures in texts]


def of_reports(reports: dict[str, Any]) -> list[Quotation]:
    """Returns what a report costs, and the one that seeing.md shows."""
    one = reports["example"]
    whole = one["seconds"]
    shares = [one[f"{name}_seconds"] for name in ("host", "copy", "guest", "restore")]
    each = [text for part in shares for text in (duration(part), f"{part / whole:.0%}"[:-1])]
    texts = [
        ("a call takes {} times as long with it", [f"{reports['ratio']:.3f}"]),
        ("score: returned after {}", [duration(whole)]),
        (
            "time {}: host {} ({}%), copy {} ({}%), guest {} ({}%), restore {} ({}%)",
            [duration(whole), *each],
        ),
        (
            "memory {} at most, {} pages put back, {} KiB written",
            [
                size(one["peak_memory_bytes"]),
                f"{one['pages_restored']:,}",
                f"{one['written_bytes'] // 1024:,}",
            ],
        ),
        ("1 row, 1 exit, returned after {}", [duration(whole)]),
    ]
    return [Quotation("seeing.md", text, figures) for text, figures in texts]


def quotations(measured: dict[str, Any]) -> list[Quotation]:
    """Returns all of them."""
    return [
        *of_calls(measured["latency"]),
        *of_batches(measured["arrow"]),
        *of_sql(measured["sqlite"]),
        *of_engines(measured),
        *of_host_calls(measured["host_calls"]),
        *of_processes(measured),
        *of_reports(measured["reports"]),
        *of_languages(measured["guests"]),
    ]


def update(measured: dict[str, Any]) -> None:
    """Writes the figures into the pages."""
    for quotation in quotations(measured):
        page = PAGES[quotation.page]
        text = page.read_text()
        found = quotation.pattern().search(text)
        if found is None:
            raise ValueError(f"{quotation.page} does not quote {quotation.text!r}")
        for number in reversed(range(len(quotation.figures))):
            first, end = found.span(number + 1)
            text = text[:first] + quotation.figures[number] + text[end:]
        page.write_text(text)
