"""The table of docs/fuzzing.md that says how long each fuzzer has run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_HEAD = "| fuzzer | hours | inputs | edges |\n| --- | ---: | ---: | ---: |\n"
_TABLE = re.compile(re.escape(_HEAD) + r"((?:\|.*\n)*)")
_ROW = re.compile(r"\| `([^`]+)` \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \|\n")


class Ran(NamedTuple):
    """What a fuzzer did in all runs that were recorded."""

    hours: float  # of processor time
    executions: int
    edges: int  # that the last run reached

    def then(self, seconds: float, executions: int, edges: int) -> Ran:
        """With one more run."""
        return Ran(self.hours + seconds / 3600, self.executions + executions, edges)


def _rows(page: str) -> str:
    found = _TABLE.search(page)
    assert found is not None, "docs/fuzzing.md has no table of hours"
    return found[1]


def read(page: str) -> dict[str, Ran]:
    """Returns what the page says, by the fuzzer."""
    return {
        title: Ran(float(hours), int(executions.replace(",", "")), int(edges.replace(",", "")))
        for title, hours, executions, edges in _ROW.findall(_rows(page))
    }


def write(page: str, ran: Mapping[str, Ran]) -> str:
    """Returns the page with these in its table."""
    rows = "".join(
        f"| `{title}` | {each.hours:.2f} | {each.executions:,} | {each.edges:,} |\n"
        for title, each in sorted(ran.items())
    )
    return page.replace(_HEAD + _rows(page), _HEAD + rows)
