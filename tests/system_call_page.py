"""The tables of docs/system_calls.md: which system calls guests do not have, and how each ends."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "system_calls.md"
REFUSED, ABSENT = "## Refused as Linux refuses them", "## Not there"


def rows(part: str) -> list[tuple[set[str], str]]:
    """Returns the calls and the second column of each row of a part of the page."""
    text = PAGE.read_text().split(part)[1].split("\n## ")[0]
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    return [(set(re.findall(r"`(\w+)`", first)), second) for first, second, *_ in cells]


def absent() -> set[str]:
    """Returns the calls that are refused, or not there."""
    return {name for part in (REFUSED, ABSENT) for names, _ in rows(part) for name in names}
