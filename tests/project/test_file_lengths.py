"""A file has at most 400 lines, or its header says why it is longer: "Long because ..."."""

from __future__ import annotations

import re

from sources import check, name, sources

MAX_LINES = 400
LINES_OF_HEADER = 30
REASON = re.compile(r"\bLong because [\w`][^.:]{10,}[.:]")
FILES = {path: path.read_text() for path in sources(".py", ".pyi", ".c", ".cpp", ".h", ".S")}


def is_long(text: str) -> bool:
    return text.count("\n") > MAX_LINES


def has_reason(text: str) -> bool:
    header = " ".join(line.strip(" *#/") for line in text.splitlines()[:LINES_OF_HEADER])
    return REASON.search(header) is not None


def test_files_are_found() -> None:
    names = {name(path) for path in FILES}
    assert {"setup.py", "udfvm/__init__.py", "guest/kernel/arch/entry.S"} <= names
    assert len(names) > 500


def test_long_files_say_why() -> None:
    check(
        {name(path) for path, text in FILES.items() if is_long(text) and not has_reason(text)},
        "long files",
    )


def test_no_other_file_says_why_it_is_long() -> None:
    assert [
        name(path) for path, text in FILES.items() if has_reason(text) and not is_long(text)
    ] == []
