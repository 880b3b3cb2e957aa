"""What the documentation shows runs, and the examples in docstrings do."""

from __future__ import annotations

import doctest
import importlib
import linecache
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import udfvm

ROOT = Path(__file__).resolve().parent.parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "udfvm").rglob("*.py")
    if "_guest" not in path.parts and ">>> " in path.read_text()
)


def examples(document: Path) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def run_example(source: str, name: str, names: dict[str, object]) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), {"__name__": "example", **names})


def test_the_readme_runs(flights_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(flights_files[0].parent)
    (source,) = examples(ROOT / "README.md")
    run_example(source, "<readme>", {"table": pq.read_table(flights_files[1])})


def test_the_tutorial_runs() -> None:
    blocks = examples(ROOT / "docs" / "tutorial.md")
    assert len(blocks) > 5
    run_example("\n".join(blocks), "<tutorial>", {})


def test_the_page_on_sqlite_runs() -> None:
    (source,) = examples(ROOT / "docs" / "sqlite.md")
    run_example(source, "<sqlite>", {})


def test_batches_in_sql_run() -> None:
    (source,) = examples(ROOT / "docs" / "sqlite_batches.md")
    run_example(source, "<sqlite_batches>", {})


WHOLE_HOWTOS = [block for block in examples(ROOT / "docs" / "howto.md") if block.startswith("import ")]


@pytest.mark.parametrize("index", range(len(WHOLE_HOWTOS)))
def test_whole_examples_of_the_howto_run(index: int) -> None:
    run_example(WHOLE_HOWTOS[index], f"<howto {index}>", {})


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, attempted = doctest.testmod(module, optionflags=flags, extraglobs={"udfvm": udfvm})
    assert attempted and not failed


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_public_names_are_documented() -> None:
    for name in udfvm.__all__:
        assert getattr(udfvm, name).__doc__ or name.startswith("__"), name
