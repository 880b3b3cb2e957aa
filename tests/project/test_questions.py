"""The pages that answer one question each: below "How do I …" in mkdocs.yml."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
MOST_LINES = 90


def pages() -> list[Path]:
    """All of the group but the page with what is left."""
    group = (ROOT / "mkdocs.yml").read_text().split("  - How do I …:\n")[1]
    lines = re.match(r"(?: {6}- .*\n)+", group)
    assert lines
    names = re.findall(r": (\w+\.md)", lines[0])
    return [ROOT / "docs" / name for name in names if name != "howto.md"]


def test_there_are_pages() -> None:
    assert len(pages()) >= 7


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_begins_with_its_question(page: Path) -> None:
    """Then come a short answer and an example. Each page is short."""
    lines = page.read_text().splitlines()
    assert re.fullmatch(r"# .*\?", lines[0]) and len(lines) <= MOST_LINES
    assert any(line.startswith("```") for line in lines[:12])


@pytest.mark.long
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """From top to bottom, as one program in an empty folder. Blocks with a title are files."""
    program = ""
    for language, title, source in BLOCK.findall(page.read_text()):
        if title:
            (tmp_path / title).write_text(source)
        elif language == "python":
            program += source + "\n"
    assert "assert " in program
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
