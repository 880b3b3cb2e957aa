"""What the documentation shows runs, and the examples in docstrings do."""

from __future__ import annotations

import doctest
import importlib
import linecache
import re
from pathlib import Path

import pytest

import udfvm

ROOT = Path(__file__).resolve().parent.parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "udfvm").rglob("*.py")
    if "_guest" not in path.parts and ">>> " in path.read_text()
)


def test_the_tutorial_runs() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    source = "\n".join(blocks)
    linecache.cache["<tutorial>"] = (len(source), None, source.splitlines(keepends=True), "<tutorial>")
    exec(compile(source, "<tutorial>", "exec"), {"__name__": "tutorial"})


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
