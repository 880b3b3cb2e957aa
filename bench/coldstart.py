"""From the start of a process to a first result. ``python bench/coldstart.py --json`` prints one
JSON object; times in milliseconds.

Each measurement is a new process, timed by its parent from before it is started until a line of its
output arrives. The kinds take turns, so that a drift of the machine falls on all alike.

    host_imports     python -c 'import numpy, pyarrow'
    first_result     import udfvm, and one call of a scalar function whose image, in the cache,
                     holds numpy and pyarrow
    interpreter      python -c 'pass', which both contain
    times_host       first_result over host_imports, of the medians
    parts            of first_result, by the process's own clock: import of udfvm, opening of the
                     images, the call, a second call
    core             a program in C, which opens the same images and makes the same call
    core_start       the same program, which ends at once
    core_parts       of core, by its own clock: opening of the images, the call, a second call
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from core_calls import built

HOST = "import numpy, pyarrow; print('ready', flush=True)"
NOTHING = "print('ready', flush=True)"
GUEST = """
import sys, time
started = time.perf_counter()
import udfvm
imported = time.perf_counter()

@udfvm.udf(packages=["numpy", "pyarrow"])
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100

score.prepare()
if len(sys.argv) > 1:
    print(score.image.path.parent, score.image.base.path.name, score.image.path.name)
    sys.exit()
opened = time.perf_counter()
assert score(12.0, 300.0) == 4.0
called = time.perf_counter()
print('ready', flush=True)
score(12.0, 300.0)
again = time.perf_counter()
moments = (started, imported, opened, called, again)
print(*(1e3 * (end - begin) for begin, end in zip(moments, moments[1:])))
"""
PARTS = ("import", "open", "call", "second_call")


def milliseconds(*program: str) -> tuple[float, list[float]]:
    """Returns the milliseconds from the start of a process to its first line, and the numbers in
    its second line.
    """
    started = time.perf_counter()
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        passed = time.perf_counter() - started
        rest = process.stdout.read().split()
    if line != "ready\n" or process.returncode:
        raise RuntimeError(f"a measured process failed with status {process.returncode}")
    return 1e3 * passed, [float(number) for number in rest]


def core_program(directory: Path) -> list[str]:
    """Returns the command of the program in C, for the images of the function."""
    names = subprocess.run(
        [sys.executable, "-c", GUEST, "names"], stdout=subprocess.PIPE, text=True, check=True
    )
    program = built("cold_call.c", directory / "cold_call")
    return [str(program), *names.stdout.split()]


def measure(rounds: int, directory: Path) -> dict[str, Any]:
    core = core_program(directory)
    programs = {
        "host_imports": [sys.executable, "-c", HOST],
        "first_result": [sys.executable, "-c", GUEST],
        "interpreter": [sys.executable, "-c", NOTHING],
        "core": core,
        "core_start": core[:1],
    }
    samples: dict[str, list[float]] = {name: [] for name in programs}
    parts: dict[str, list[list[float]]] = {name: [] for name in programs}
    for program in programs.values():  # reads files from disk
        milliseconds(*program)
    for _ in range(rounds):
        for name, program in programs.items():
            passed, numbers = milliseconds(*program)
            samples[name].append(passed)
            parts[name].append(numbers)
    medians = {name: round(statistics.median(values), 1) for name, values in samples.items()}
    return {
        **medians,
        "times_host": round(medians["first_result"] / medians["host_imports"], 2),
        "parts": shares(PARTS, parts["first_result"]),
        "core_parts": shares(PARTS[1:], parts["core"]),
        "rounds": rounds,
    }


def shares(names: tuple[str, ...], samples: list[list[float]]) -> dict[str, float]:
    """Returns the median of each part."""
    columns = zip(*samples, strict=True)
    return {
        name: round(statistics.median(values), 2)
        for name, values in zip(names, columns, strict=True)
    }


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--rounds", default=20, show_default=True, help="Processes of each kind.")
def main(as_json: bool, rounds: int) -> None:
    """Prints the measurements."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("UDFVM_CACHE", directory)
        # pip compiled numpy; an editable udfvm is compiled by its first import.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        result = measure(rounds, Path(directory))
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:14} {value}")


if __name__ == "__main__":
    main()
