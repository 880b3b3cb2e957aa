"""docs/fuzzing.md lists every file that reads bytes of guests or strangers, with its fuzzers."""

from __future__ import annotations

import re

import pytest
from fuzz_programs import FUZZ, ROOT, c_targets, parsers, targets
from sources import check, name, sources

# What reads guest memory, replies, values of SQL, and files; and what takes bytes apart in Python.
READS = {
    ".c": re.compile(
        r"\bmachine_address\(|udfvm_machine_address\(|\breply(->|\.)data\b|"
        r"\bcell->answer\b|_(value|column)_(text|blob)\(|\bnote_value\(|\bp?read\(|"
        r"\bstrtoull\(|scanf\(|\bfgets\("
    ),
    ".cpp": re.compile(r"\breply(->|\.)data\b|\bp?read\("),
    ".py": re.compile(
        r"\bunpack(_from)?\(|\bjson\.loads|\bfrom_bytes\(|\bread_bytes\(|\bpickle\.loads|readlink\("
    ),
}
TABLE = re.compile(r"^\| `(udfvm/[^`]+)` \|", re.MULTILINE)
DOCUMENTED = TABLE.findall((ROOT / "docs" / "fuzzing.md").read_text())


def test_what_reads_strangers_bytes_is_listed() -> None:
    found = {
        name(path)
        for path in sources(*READS, folders=["udfvm"])
        if path.is_relative_to(ROOT / "udfvm") and READS[path.suffix].search(path.read_text())
    }
    assert len(found) > 40
    check(found - set(DOCUMENTED), "files that docs/fuzzing.md does not list")


def test_what_is_listed_is_there() -> None:
    assert len(DOCUMENTED) == len(set(DOCUMENTED))
    check({path for path in DOCUMENTED if not (ROOT / path).is_file()}, "no such files")


def test_every_parser_has_a_fuzzer_and_every_fuzzer_a_parser() -> None:
    titles = {target.title for target in [*c_targets(), *targets("python")]}
    named = {title for names in parsers().values() for title in names}
    assert named == titles
    check({name(path) for path, names in parsers().items() if not names}, "without a fuzzer")


def test_hours_are_of_fuzzers_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FUZZ)
    from recorded import Ran, read, write

    page = (ROOT / "docs" / "fuzzing.md").read_text()
    ran = read(page)
    titles = {target.title for target in [*c_targets(), *targets("python")]}
    check(set(ran) - titles, "no such fuzzers")
    assert write(page, ran) == page
    ran["core/images"] = Ran(0.5, 1_000, 7).then(1_800, 234, 9)
    assert ran["core/images"] == Ran(1.0, 1_234, 9)
    assert read(write(page, ran)) == ran
