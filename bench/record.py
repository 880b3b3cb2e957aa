"""Measures what the documentation quotes: ``python bench/record.py`` runs the benchmarks below,
writes docs/figures.json, and puts the figures into the pages and pictures.

    python bench/record.py                      all of them
    python bench/record.py guests engines.duckdb    these alone; other figures stay as they are
    python bench/record.py --pages              measures nothing

What a call and a batch cost is not among them: ``bench/plot.py`` measures that, and writes
docs/performance.json. The figures of both files are put into the pages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pictures
from engine_costs import ENGINES
from quotations import DOCS, load, update

BENCHMARKS = ("coldstart", "density", "guests", "host_calls", "layers", "reports", "sqlite")
SCRIPTS = {"host_calls": "latency", "large": "engines"}  # of other names
NAMES = (*BENCHMARKS, *(f"engines.{name}" for name in ENGINES), "large.duckdb")
ROWS = {  # where they are others than the flights
    "engines.flight": ["--rows", "1000000", "--repeats", "21"],
    "large.duckdb": ["--rows", "20000000", "--repeats", "2"],
}


def measure(name: str) -> Any:
    """Returns what a benchmark prints, run in a process of its own."""
    benchmark, _, engine = name.partition(".")
    script = Path(__file__).with_name(f"{SCRIPTS.get(benchmark, benchmark)}.py")
    command = [sys.executable, script, "--json", *(["--engines", engine] if engine else [])]
    command += ROWS.get(name, [])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures = json.loads(done.stdout)
    if not engine:
        return figures
    return figures[engine] | {"version": version(ENGINES[engine].package)}


def chosen(names: tuple[str, ...]) -> list[str]:
    """The names of benchmarks: ``engines`` stands for each of them."""
    wanted = set(names or NAMES)
    if "engines" in wanted:
        wanted |= {name for name in NAMES if name.startswith("engines.")}
    if unknown := wanted - {"engines", *NAMES}:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in wanted]


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--pages", is_flag=True, help="Only put the figures into pages and pictures.")
def main(names: tuple[str, ...], pages: bool) -> None:
    """Records, and updates the pages."""
    path = DOCS / "figures.json"
    if not pages:
        figures = json.loads(path.read_text())
        for name in chosen(names):
            benchmark, _, engine = name.partition(".")
            measured = measure(name)
            if engine:
                figures.setdefault(benchmark, {})[engine] = measured
            else:
                figures[benchmark] = measured
        path.write_text(json.dumps(figures, indent=1) + "\n")
    update(load())
    pictures.write(load())


if __name__ == "__main__":
    main()
