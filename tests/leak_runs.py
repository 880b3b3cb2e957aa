"""Runs of two tenants that share micro-VMs: a call marks and ends, the next one searches."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import pyarrow as pa
from jails import jails
from leak_compiled import SEARCH
from leak_search import MARK
from leak_tenants import NOTHING, Way, program

import udfvm
from udfvm import errors

INTERRUPT_AFTER = 0.03  # seconds
ENTRY_BYTES = 8  # of /proc/self/pagemap
PAGE = 4096
IN_MEMORY = 0b11 << 62  # present, or swapped out


class Interrupted(Exception):
    """What a signal's handler raises in the midst of a call."""


FAILURES = (errors.Error, apsw.Error, pa.ArrowException, StopIteration)


def expected(
    end: str, failures: tuple[type[Exception], ...] = FAILURES
) -> tuple[type[Exception], ...]:
    """How a call may fail. Where a handler raises in the midst of the standard library, as in
    ``Thread.start``, that may come as another exception.
    """
    return (Exception,) if end == "interrupt" else failures


def hidden(mark: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in mark)


@contextlib.contextmanager
def interrupts(wanted: bool) -> Iterator[None]:
    """Has a handler raise after a moment, unless the block has ended by then."""
    armed = wanted

    def handler(number: int, frame: FrameType | None) -> None:
        if armed:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, INTERRUPT_AFTER if wanted else 0)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def guest_mappings(process: int) -> list[tuple[int, int]]:
    """Memory of VMs in a process: what a forked child does not inherit."""
    found = []
    area = 0, 0
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            area = int(match[1], 16), int(match[2], 16)
        elif line.startswith("VmFlags:") and "dc" in line.split():
            found.append(area)
    return found


def marks_in_guest_memory(mark: bytes) -> int:
    """How often the host finds the mark in all that it has of VMs, and in their processes if they
    are jailed: as far as this user may look there.
    """
    found = _marks_in_process(os.getpid(), mark)
    for process in jails():
        with contextlib.suppress(PermissionError):
            found += _marks_in_process(process, mark)
    return found


def _marks_in_process(process: int, mark: bytes) -> int:
    found = 0
    files = Path(f"/proc/{process}")
    with open(files / "mem", "rb") as memory, open(files / "pagemap", "rb") as pages:
        for start, end in guest_mappings(process):
            pages.seek(start // PAGE * ENTRY_BYTES)
            entries = memoryview(pages.read((end - start) // PAGE * ENTRY_BYTES)).cast("Q")
            for index, entry in enumerate(entries):
                if entry & IN_MEMORY:
                    with contextlib.suppress(OSError):  # a device's page
                        memory.seek(start + index * PAGE)
                        found += memory.read(PAGE).count(mark)
    return found


class Runs:
    """Random runs, each with a mark of its own. What they find fails with the seed."""

    def __init__(
        self,
        marking: Mapping[str, Sequence[Way]],
        searching: Mapping[str, Sequence[Way]],
        places: Sequence[str],
        ends: Mapping[str, int],
        everything: float = 0.05,
        failures: tuple[type[Exception], ...] = FAILURES,
    ) -> None:
        """``marking``, ``searching``: the ways of each tenant; ``ends``: with their weights;
        ``everything``: the share of searches of all memory, whose first takes seconds;
        ``failures``: how calls may fail.
        """
        self.failures = failures
        self.everything = everything
        self.marking, self.searching = marking, searching
        self.places, self.ends = places, ends
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.drawn: set[str] = set()
        self.usual: dict[str, Any] = {}

    def run(self, count: int, seed: int) -> None:
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            mark = chance.randbytes(MARK)
            told = self._mark(chance, mark)
            self._search(chance, mark, f"run {number} of seed {seed}: {told}")
            self.done += 1

    def _mark(self, chance: random.Random, mark: bytes) -> str:
        """Returns what was done."""
        way = chance.choice(sorted(self.marking))
        end = chance.choices(list(self.ends), list(self.ends.values()))[0]
        if end == "timeout" and len(self.marking[way]) == 1:
            end = "exception"
        call = self.marking[way][end == "timeout"]
        many = chance.choice([1, 2, 4, 8, len(self.places)])
        places = sorted(chance.sample(self.places, many), key=lambda _: chance.random())
        if end == "deadlock" and "signals" in places:
            end = "exception"  # the timer that goes off in half an hour would end the wait
        marks = mark * chance.choice([1, 1, 2, 12, 500, 20_000])
        task = program(marks, do="mark", seed=chance.random(), places=places, end=end)
        failure = "none"
        try:
            with interrupts(end == "interrupt"):
                call(task)
        except expected(end, self.failures) as error:
            failure = type(error).__name__
        self.counts.update([way, end, failure, *places])
        return f"{way}, {places}, {end}, {failure}"

    def _search(self, chance: random.Random, mark: bytes, told: str) -> None:
        way = chance.choice(sorted(self.searching))
        call = self.searching[way][0]
        everything = chance.random() < self.everything
        task = program(hidden(mark), do="search", all=everything)
        found = json.loads(call(task))
        usual = self.usual.setdefault(way, found["state"])
        differs = {name for name, value in found["state"].items() if value != usual[name]}
        assert found["hits"] == 0 and not differs, f"{told}; {way} found {found['hits']} {differs}"
        new = set(found["chance"])
        assert len(new) == len(found["chance"]) and not new & self.drawn, f"{told}; {new}"
        self.drawn |= new
        if chance.random() < 0.05:
            gc.collect()
            call(NOTHING)  # jailed VMs are put back while the program goes on
            assert marks_in_guest_memory(mark) == 0, f"{told}; the host finds it"


NumberWay = Callable[[int, int, int], int]


def run_numbers(
    ways: Mapping[str, Sequence[NumberWay]], ends: Mapping[str, int], count: int, seed: int
) -> Counter[str]:
    """The same with functions of numbers: see leak_compiled.py. Returns how often what was done."""
    counts: Counter[str] = Counter()
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        mark = chance.getrandbits(62) | 1 << 40
        way, end = chance.choice(sorted(ways)), chance.choice(sorted(ends))
        failure = "none"
        try:
            with interrupts(end == "interrupt"):
                ways[way][end == "timeout"](ends[end], mark, chance.getrandbits(32))
        except expected(end) as error:
            failure = type(error).__name__
        counts.update([way, end, failure])
        found = ways[chance.choice(sorted(ways))][0](SEARCH, ~mark, 0)
        assert found == 0, f"run {number} of seed {seed}: {way}, {end}, {failure}: found {found}"
        if chance.random() < 0.05:
            ways[way][0](SEARCH, 0, 0)  # jailed VMs are put back while the program goes on
            assert marks_in_guest_memory(mark.to_bytes(8, "little")) == 0, (
                f"{way}, {end}, {failure}"
            )
    return counts


def times(default: int, pool: udfvm.Pool) -> int:
    """So many runs, or a fifth of what ``UDFVM_LEAKS`` asks for; a third of that with jailed VMs,
    besides.
    """
    count = int(os.environ.get("UDFVM_LEAKS", "0")) // 5 or default
    return count // 3 if pool.jail else count
