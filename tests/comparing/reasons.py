"""Differences between the host and micro-VMs, and which are expected: lists of reasons, for suites
of others that run on both sides.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Difference:
    """A test, or the set-up of several, that does not end as on the host."""

    test: str
    host: str
    guest: str
    detail: str

    def __str__(self) -> str:
        last = self.detail.strip().splitlines()[-1:] or [""]
        return f"{self.test}: {self.host} on the host, {self.guest} in a micro-VM: {last[0]}"


@dataclass(frozen=True)
class Reason:
    """Why some differences are expected.

    Attributes:
        kind: the class of the reason, such as "processes".
        reason: in words.
        modules: modules in which differences are expected that `says` finds in the guest's words.
            `*` stands for all.
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
        listed = module in self.modules or "*" in self.modules
        return listed and re.search(self.says, words) is not None

    def names_of(self, module: str, tests: Iterable[str]) -> list[str]:
        """Returns what this reason says of a module, by the names of its tests."""
        named = [f"{self.kind}: {module}"] if module in self.modules else []
        return named + [pattern for pattern in self.tests if any(fnmatch.filter(tests, pattern))]


def reasons_of(path: Path) -> list[Reason]:
    """Returns the reasons that a file of TOML has, by class."""
    stored: dict[str, list[dict[str, Any]]] = tomllib.loads(path.read_text())
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


def explain(
    module: str, differences: list[Difference], tests: list[str], reasons: list[Reason]
) -> Judgement:
    """Tells which differences of a module, with these tests, are expected."""
    judgement = Judgement(module, [], [], [])
    for difference in differences:
        found = next((each for each in reasons if each.explains(module, difference)), None)
        if found is None:
            judgement.unexpected.append(difference)
        else:
            judgement.explained.append((difference, found))
    differing = [each.test for each, _ in judgement.explained]
    for reason in reasons:
        still = {
            name
            for name in reason.names_of(module, differing)
            if name in reason.tests or any(by is reason for _, by in judgement.explained)
        }
        judgement.gone += [name for name in reason.names_of(module, tests) if name not in still]
    return judgement
