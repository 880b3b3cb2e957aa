"""Lines have at most 100 columns, also where no formatter sees to it."""

from __future__ import annotations

import re

from sources import ROOT, check, name, sources

MAX_COLUMNS = 100
UNBREAKABLE = re.compile(r"^\||^\S+$")  # a row of a table, one word


def test_lines_are_short() -> None:
    paths = sources(".build", ".c", ".cpp", ".h", ".js", ".ld", ".md", ".options", ".S", ".toml")
    found = [
        f"{name(path)}:{number}"
        for path in (*paths, ROOT / ".ci" / "run")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MAX_COLUMNS and not UNBREAKABLE.search(line)
    ]
    check(found, "wide lines")
