"""What differs between the host and micro-VMs, and which differences are expected."""

from __future__ import annotations

from pathlib import Path

from comparing.reasons import Difference, Judgement, Reason, explain, reasons_of
from cpython.runs import BETWEEN, LOST, MOST_LOST, Outcome, Outcomes

EXPECTED = Path(__file__).with_name("expected.toml")

NOT_RUN = Outcome("not run")


def differences(host: Outcomes, guest: Outcomes) -> list[Difference]:
    """Returns what differs. Tests do not count that a set-up kept from running, or so many lost
    tests, nor those that the host had no time for.
    """
    lost = sum(each.outcome in LOST for each in guest.tests.values())
    ran_whole = not guest.setups and lost < MOST_LOST
    found = []
    for name, outcome in guest.setups.items():
        before = host.setups.get(name, Outcome("passed"))
        if before.outcome != outcome.outcome:
            found.append(Difference(name, before.outcome, outcome.outcome, outcome.detail))
    for name, outcome in host.tests.items():
        after = guest.tests.get(name, NOT_RUN if ran_whole else outcome)
        if after.outcome != outcome.outcome:
            found.append(Difference(name, outcome.outcome, after.outcome, after.detail))
    return found


def expected() -> list[Reason]:
    """Returns the reasons that `expected.toml` has."""
    return reasons_of(EXPECTED)


def judge(module: str, host: Outcomes, guest: Outcomes, reasons: list[Reason]) -> Judgement:
    """Compares a module with what is expected of it."""
    tests = [*host.tests, *host.setups, *guest.setups]
    return explain(module, differences(host, guest), tests, reasons)


def was_cut(host: Outcomes) -> bool:
    """Returns True if the host had no time for all tests of a module, so that little can be said
    of what is gone.
    """
    return bool(set(host.planned) - set(host.tests)) and BETWEEN not in host.setups
