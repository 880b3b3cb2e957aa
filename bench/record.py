"""Measures what the documentation quotes: ``python bench/record.py`` runs the benchmarks below,
writes docs/figures.json, and puts the figures into the pages.

What a call and a batch cost is not among them: ``bench/plot.py`` measures that, and writes
docs/performance.json. ``--pages`` measures nothing: it puts the figures of both files into the
pages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
from quotations import DOCS, load, update

BENCHMARKS = ("coldstart", "density", "guests", "layers", "sqlite")


def measure(name: str) -> object:
    """Returns what a benchmark prints, run in a process of its own."""
    script = Path(__file__).with_name(f"{name}.py")
    done = subprocess.run([sys.executable, script, "--json"], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


@click.command(help=__doc__)
@click.option("--pages", is_flag=True, help="Only put the figures into the pages.")
def main(pages: bool) -> None:
    """Records, and updates the pages."""
    if not pages:
        figures = {name: measure(name) for name in BENCHMARKS}
        (DOCS / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    update(load())


if __name__ == "__main__":
    main()
