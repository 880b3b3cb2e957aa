"""Figures of a run of all tests, kept in `figures.json`, and the sentences about them in the
documentation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparing.reasons import Judgement
from ltp.differences import CHILDLESS
from ltp.outcomes import PASSED, Outcomes

FILE = Path(__file__).with_name("figures.json")

# What keeps a test from passing on either side, by what it says first.
WANTS = {
    "devices": re.compile(r"device|mknod|filesystem"),
    "processes": CHILDLESS,
    "other users and privileges": re.compile(r"EPERM"),
}

Told = tuple[Judgement, Outcomes, Outcomes]


def figures_of(version: str, told: Sequence[Told], left_out: Counter[str]) -> dict[str, Any]:
    """Counts tests by how they end in micro-VMs and on the host."""
    alike = [each for each in told if not each[0].explained and not each[0].unexpected]
    judgements = [judgement for judgement, _, _ in told]
    kinds = Counter(kind for each in judgements for kind in {why.kind for _, why in each.explained})
    return {
        "ltp": version,
        "tests": len(told),
        "alike": sum(guest.count(PASSED) > 0 for _, _, guest in alike),
        "neither": dict(Counter(wanted(guest) for _, _, guest in alike if not guest.count(PASSED))),
        "differ": sum(bool(each.explained) for each in judgements),
        "unexpected": sum(bool(each.unexpected) for each in judgements),
        "passed": sum(guest.count(PASSED) for _, _, guest in told),
        "kinds": dict(kinds.most_common()),
        "left_out": dict(left_out),
    }


def wanted(guest: Outcomes) -> str:
    """Returns what a test wants that passes on neither side."""
    _, words = next(iter(guest.results.values()))
    return next((kind for kind, says in WANTS.items() if says.search(words)), "what neither has")


def write(figures: dict[str, Any]) -> None:
    """Keeps figures in the file."""
    FILE.write_text(json.dumps(figures, indent=2) + "\n")


def read() -> dict[str, Any]:
    """Returns the figures of the file."""
    return json.loads(FILE.read_text())  # type: ignore[no-any-return]


def sentences(figures: dict[str, Any]) -> str:
    """Returns what the documentation says of figures, as one line."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in figures["kinds"].items())
    neither = figures["neither"]
    wants = ", ".join(f"{kind} {count}" for kind, count in sorted(neither.items()))
    absent = figures["left_out"]["of calls that guests do not have"]
    return (
        f"At commit `{figures['ltp'][:12]}`, {figures['tests']} tests are of system calls that"
        f" guests have, and {absent} of others. Of the {figures['tests']}, {figures['alike']} end"
        f" in a micro-VM line by line as on the host, {sum(neither.values())} pass on neither"
        f" side, for what they need ({wants}), and {figures['differ']} differ, by class: {kinds}."
        f" {figures['passed']:,} results in micro-VMs are `TPASS`."
    )
