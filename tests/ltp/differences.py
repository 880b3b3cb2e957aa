"""What differs between the host and micro-VMs, and which differences are expected."""

from __future__ import annotations

import re
from pathlib import Path

from comparing.reasons import Difference, Judgement, Reason, explain, reasons_of
from ltp.outcomes import ENDED, PASSED, WELL, Outcomes, variant_of

EXPECTED = Path(__file__).with_name("expected.toml")
NOTHING = ("nothing", "")
# What a test says that cannot have a child.
CHILDLESS = re.compile(
    r"(fork|clone3?)\b.*(failed|ENOSYS|not supported|returned -1)", flags=re.IGNORECASE
)


def differences(name: str, host: Outcomes, guest: Outcomes) -> list[Difference]:
    """Returns what differs. Results are not missed that something kept a test from, which is a
    difference itself. What a test says after it got no child in a micro-VM cannot be compared.
    """
    comparable, childless = until_childless(guest)
    found = []
    for place in {**host.results, **comparable}:
        variant = variant_of(place)
        before, words = host.results.get(place, NOTHING)
        after, said = comparable.get(place, NOTHING)
        stopped = guest.stopped(variant) or variant in childless
        excused = (before == "nothing" and host.stopped(variant)) or (
            after in ("nothing", WELL) and stopped
        )
        if before != after and not excused:
            found.append(Difference(f"{name} {place}", before, after, said or words))
    return found


def until_childless(guest: Outcomes) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Returns the results of each variant up to the first that says that there is no child, and
    the variants that have one.
    """
    results: dict[str, tuple[str, str]] = {}
    childless: set[str] = set()
    for place, (outcome, words) in guest.results.items():
        if variant_of(place) in childless:
            continue
        results[place] = outcome, words
        if outcome != PASSED and CHILDLESS.search(words) and not place.endswith(ENDED):
            childless.add(variant_of(place))
    return results, childless


def expected() -> list[Reason]:
    """Returns the reasons that `expected.toml` has."""
    return reasons_of(EXPECTED)


def judge(name: str, host: Outcomes, guest: Outcomes, reasons: list[Reason]) -> Judgement:
    """Compares a test with what is expected of it."""
    places = [f"{name} {place}" for place in (*host.results, *guest.results)]
    return explain(name, differences(name, host, guest), places, reasons)
