"""Runs everything that udfvm does, at once and for long, and judges whether anything grows:
``python bench/soak.py --minutes 60 --output docs``.

Threads call functions of every kind and language (``soaking/functions.py``), from Python, Arrow,
SQL and engines, with VMs of three pools: the usual one, one whose VMs live as long as the soak, and
one whose VMs are jailed. Calls fail, time out, crash and are interrupted. Functions, images, pools,
threads and children come and go. Every result is compared.

After some seconds of work all threads end, idle VMs are closed, and a sample is taken at rest:

    resident         bytes of memory of this process and its children
    descriptors      open ones
    mappings         lines of /proc/self/maps
    threads          without those that engines keep for a while
    children
    cache            bytes of the image cache on disk, which has a bound
    median, p99      microseconds of a reference call, on a VM that lives as long as the soak;
                     judged in exits of that moment, whose times are ``exit_median``, ``exit_p99``

One line of JSON has a verdict for each (``soaking/flatness.py``); the exit status is 1 if one
leaks. ``--output`` also writes ``soak.json``, with all samples, and their plot, ``soak.svg``.
``--rounds`` takes the place of minutes where no time is to be judged.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from soaking import calls, ends, engines, leaks, lives, statements
from soaking.flatness import judge
from soaking.functions import Functions, of_pool
from soaking.samples import Sample, descendants, on_disk, resident, settle

import udfvm
from udfvm import vmm

CACHE_BYTES = 1 << 30
WAIT = 600.0  # for a VM
REFERENCE_CALLS = 300
WARM_UP = 5  # one of so many samples is of the warm-up
MIB = 1 << 20
# What a quantity may rise by: a number, and a share of itself. The VMs that live on differ by what
# they did last: which layer each holds open, and how much of the windows it wrote.
LASTING_VMS = 8
ALLOWED: dict[str, tuple[float, float]] = {
    "resident": (LASTING_VMS * 2 * MIB, 0.04),
    "descriptors": (LASTING_VMS, 0),
    "mappings": (0, 0.02),
    "threads": (0, 0),
    "children": (0, 0),
    "cache": (0, 0),
}
ALLOWED_TIMES: dict[str, tuple[float, float]] = {"median": (0, 0.15), "p99": (0, 0.5)}

Work = Callable[[Functions], None]
WORK: tuple[Work, ...] = (
    *calls.WORK, *statements.WORK, *engines.WORK, *ends.WORK, *lives.WORK,
)  # fmt: skip


class Soak:
    """The pools, what is done with them, and what was measured."""

    def __init__(self, work: tuple[Work, ...], seed: int) -> None:
        self.lasting = udfvm.Pool(size=2, keep=2, keep_seconds=1e9, wait=WAIT, jail=False)
        self.trimmed = (
            udfvm.Pool(size=6, keep=4, wait=WAIT, jail=False),
            udfvm.Pool(size=3, keep=2, wait=WAIT, jail=True),
        )
        self.sets = [of_pool(pool) for pool in (*self.trimmed, self.lasting)]
        self.work = work
        self.random = random.Random(seed)
        self.began = time.monotonic()
        self.samples: list[Sample] = []
        self.done: Counter[str] = Counter()
        self.failures: list[BaseException] = []

    def do(self, until: float | None) -> None:
        """Lets a thread of each set of functions work: everything once, or until then."""
        threads = [
            threading.Thread(target=self.work_with, args=(functions, self.random.random(), until))
            for functions in self.sets
        ]
        for thread in threads:
            thread.start()
        for functions in self.sets:
            for work in ends.MAIN_WORK:
                work(functions)
                self.done[work.__qualname__] += 1
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def work_with(self, functions: Functions, seed: float, until: float | None) -> None:
        try:
            for work in self.order(random.Random(seed), until):
                work(functions)
                self.done[f"{work.__module__.rpartition('.')[2]}.{work.__name__}"] += 1
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread is joined
            self.failures.append(error)

    def order(self, chance: random.Random, until: float | None) -> Iterator[Work]:
        while True:
            for work in chance.sample(self.work, len(self.work)):
                if self.failures or (until is not None and time.monotonic() > until):
                    return
                yield work
            if until is None:
                return

    def rest(self) -> None:
        """Takes a sample."""
        reference = self.sets[-1].plus
        samples: dict[str, list[float]] = {"call": [], "exit": vmm.measure_exits(REFERENCE_CALLS)}
        for _ in range(REFERENCE_CALLS):
            started = time.perf_counter()
            reference(12.0, 300.0)
            samples["call"].append((time.perf_counter() - started) * 1e6)
        descriptors, mappings, threads, children = settle([pool.trim for pool in self.trimmed])
        self.samples.append(
            Sample(
                seconds=round(time.monotonic() - self.began, 1),
                resident=sum(map(resident, [os.getpid(), *descendants(os.getpid())])),
                descriptors=descriptors,
                mappings=mappings,
                threads=threads,
                children=children,
                cache=on_disk(Path(os.environ["UDFVM_CACHE"])),
                **{
                    name: round(float(np.quantile(samples[kind], quantile)), 2)
                    for name, kind, quantile in (
                        ("median", "call", 0.5),
                        ("p99", "call", 0.99),
                        ("exit_median", "exit", 0.5),
                        ("exit_p99", "exit", 0.99),
                    )
                },
            )
        )

    def close(self) -> None:
        for pool in (*self.trimmed, self.lasting):
            pool.close()


def series(samples: list[Sample], name: str) -> list[float]:
    """Returns what is judged of a quantity."""
    if name in ALLOWED_TIMES:
        return [getattr(each, name) / getattr(each, f"exit_{name}") for each in samples]
    if name == "cache":  # past its bound
        return [float(max(0, each.cache - CACHE_BYTES)) for each in samples]
    return [float(getattr(each, name)) for each in samples]


def report(soak: Soak, times: bool) -> dict[str, Any]:
    """Judges the samples behind the warm-up."""
    warm_up = max(1, len(soak.samples) // WARM_UP)
    judged = soak.samples[warm_up:]
    seconds = [each.seconds for each in judged]
    verdicts = {
        name: judge(seconds, series(judged, name), *allowed)
        for name, allowed in {**ALLOWED, **(ALLOWED_TIMES if times else {})}.items()
    }
    return {
        "minutes": round(soak.samples[-1].seconds / 60, 1),
        "samples": [dataclasses.asdict(each) for each in soak.samples],
        "warm_up": warm_up,
        "done": dict(sorted(soak.done.items())),
        "verdicts": {name: dataclasses.asdict(verdict) for name, verdict in verdicts.items()},
        "leaks": [name for name, verdict in verdicts.items() if verdict.leaks],
    }


def run(
    minutes: float,
    interval: float,
    rounds: int | None,
    planted: tuple[str, ...],
    only: str,
    seed: int,
) -> dict[str, Any]:
    """Soaks, and returns the report."""
    chosen = tuple(each for each in WORK if only in each.__name__)
    soak = Soak(chosen, seed)
    try:
        soak.do(None)  # every image is built
        end = soak.began + minutes * 60
        while len(soak.samples) < rounds if rounds else time.monotonic() < end:
            soak.do(None if rounds else time.monotonic() + interval)
            leaks.plant(planted)
            soak.rest()
    finally:
        soak.close()
    return report(soak, times=rounds is None)


@click.command(help=__doc__)
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--interval", default=10.0, show_default=True, help="Seconds of work for a sample.")
@click.option(
    "--rounds",
    type=click.IntRange(2),
    help="Samples, after each of which everything was done once.",
)
@click.option("--only", default="", help="Work whose name has this.")
@click.option("--seed", default=0, show_default=True, help="Of the order of the work.")
@click.option(
    "--plant", multiple=True, type=click.Choice(list(leaks.PLANTS)), help="Leaks one a sample."
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for images, of an earlier soak perhaps.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for soak.json and soak.svg.",
)
def main(
    minutes: float,
    interval: float,
    rounds: int | None,
    only: str,
    seed: int,
    plant: tuple[str, ...],
    cache: Path | None,
    output: Path | None,
) -> None:
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="udfvm-soak-") as name:
        os.environ["UDFVM_CACHE"] = str(cache or Path(name) / "cache")
        os.environ["UDFVM_CACHE_SIZE"] = str(CACHE_BYTES)
        found = run(minutes, interval, rounds, plant, only, seed)
    if output:
        from soaking.drawing import draw

        output.mkdir(parents=True, exist_ok=True)
        (output / "soak.json").write_text(json.dumps(found) + "\n")
        draw(found, output / "soak.svg")
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}))
    sys.exit(1 if found["leaks"] else 0)


if __name__ == "__main__":
    main()
