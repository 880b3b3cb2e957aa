"""What differs between the host and micro-VMs, and which differences are expected."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpython.runs import BETWEEN, LOST, MOST_LOST, Outcome, Outcomes

EXPECTED = Path(__file__).with_name("expected.toml")

NOT_RUN = Outcome("not run")


@dataclass(frozen=True)
class Difference:
    """A test, or the set-up of a class or module, that does not end as on the host."""

    test: str
    host: str
    guest: str
    detail: str

    def __str__(self) -> str:
        last = self.detail.strip().splitlines()[-1:] or [""]
        return f"{self.test}: {self.host} on the host, {self.guest} in a micro-VM: {last[0]}"


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


@dataclass(frozen=True)
class Reason:
    """Why some differences are expected.

    Attributes:
        kind: the class of the reason, such as "processes".
        reason: in words.
        modules: modules in which differences are expected that `says` finds in the guest's words.
        says: a pattern of these words.
        tests: patterns (fnmatch) of tests that differ whatever the words.
    """

    kind: str
    reason: str
    modules: tuple[str, ...] = ()
    says: str = ""
    tests: tuple[str, ...] = ()

    def explains(self, module: str, difference: Difference) -> bool:
        """Returns True if the difference is expected for this reason."""
        if any(fnmatch.fnmatchcase(difference.test, each) for each in self.tests):
            return True
        words = difference.detail or difference.guest
        return module in self.modules and re.search(self.says, words) is not None

    def names_of(self, module: str, tests: Iterable[str]) -> list[str]:
        """Returns what this reason says of a module, by the names of its tests."""
        named = [f"{self.kind}: {module}"] if module in self.modules else []
        return named + [pattern for pattern in self.tests if any(fnmatch.filter(tests, pattern))]


def expected() -> list[Reason]:
    """Returns the reasons that `expected.toml` has."""
    stored: dict[str, list[dict[str, Any]]] = tomllib.loads(EXPECTED.read_text())
    return [
        Reason(
            kind,
            each["reason"],
            tuple(each.get("modules", ())),
            "|".join(each.get("says", ())),
            tuple(each.get("tests", ())),
        )
        for kind, reasons in stored.items()
        for each in reasons
    ]


@dataclass
class Judgement:
    """What is to be said of a module.

    Attributes:
        explained: differences that are expected, with their reasons.
        unexpected: the other differences.
        gone: what the list expects, and is no more.
    """

    module: str
    explained: list[tuple[Difference, Reason]]
    unexpected: list[Difference]
    gone: list[str]


def judge(module: str, host: Outcomes, guest: Outcomes, reasons: list[Reason]) -> Judgement:
    """Compares a module with what is expected of it."""
    judgement = Judgement(module, [], [], [])
    for difference in differences(host, guest):
        found = next((each for each in reasons if each.explains(module, difference)), None)
        if found is None:
            judgement.unexpected.append(difference)
        else:
            judgement.explained.append((difference, found))
    differing = [each.test for each, _ in judgement.explained]
    all_tests = [*host.tests, *host.setups, *guest.setups]
    for reason in reasons:
        still = {
            name
            for name in reason.names_of(module, differing)
            if name in reason.tests or any(by is reason for _, by in judgement.explained)
        }
        judgement.gone += [name for name in reason.names_of(module, all_tests) if name not in still]
    return judgement


def was_cut(host: Outcomes) -> bool:
    """Returns True if the host had no time for all tests of a module, so that little can be said
    of what is gone.
    """
    return bool(set(host.planned) - set(host.tests)) and BETWEEN not in host.setups
