"""Each test that the security model names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def named_tests() -> list[tuple[str, str]]:
    """Paths of tests that the page names, with the test's name where one is named."""
    return re.findall(r"`(tests/[\w./]+)(?:::(\w+))?`", PAGE)


def test_each_test_that_is_named_exists() -> None:
    named = named_tests()
    assert len(named) > 60
    for path, name in named:
        assert (ROOT / path).exists(), path
        if name:
            tree = ast.parse((ROOT / path).read_text())
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
                f"{path}::{name}"
            )


def test_each_attacker_is_attacked_by_a_test() -> None:
    section = PAGE.split("## Threat model", 1)[1].split("\n### ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        *_, attacked_by, end = (cell.strip() for cell in row.split("|"))
        assert not end and re.match(r"`tests/", attacked_by), row
