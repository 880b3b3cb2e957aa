"""What the documentation shows runs, and the examples in docstrings do."""

from __future__ import annotations

import doctest
import importlib
import linecache
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from spark_sessions import spark_session

import udfvm

ROOT = Path(__file__).resolve().parents[2]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "udfvm").rglob("*.py")
    if "_guest" not in path.parts and ">>> " in path.read_text()
)


def examples(document: Path) -> list[str]:
    """The Python blocks of a document."""
    return examples_of(document.read_text())


def examples_of(text: str) -> list[str]:
    """The Python blocks of a text."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run_example(source: str, name: str, names: dict[str, object]) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), {"__name__": "example", **names})


@pytest.mark.parametrize("options", [(), ("-i",)], ids=["as a script", "pasted"])
def test_the_readme_runs(options: tuple[str, ...], tmp_path: Path) -> None:
    """As it is: with nothing before it, anywhere."""
    source = "\n".join(examples(ROOT / "README.md"))
    done = subprocess.run(
        [sys.executable, *options, "-"],
        input=source,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    # Pasted, expressions show what they are.
    printed = [line for line in done.stdout.splitlines() if line.startswith(("4", "5", "["))]
    assert printed == [
        "5.0", "4.0", "[4.0, None, -1.0]", "[('AA', None), ('UA', 1.5)]", "[4.0, None, -1.0]",
    ]  # fmt: skip


def test_the_tutorial_runs() -> None:
    blocks = examples(ROOT / "docs" / "tutorial.md")
    assert len(blocks) > 5
    run_example("\n".join(blocks), "<tutorial>", {})


def test_the_overview_runs() -> None:
    (block,) = examples(ROOT / "docs" / "index.md")
    run_example(block, "<index>", {})


def test_the_page_on_sqlite_runs() -> None:
    blocks = examples(ROOT / "docs" / "sqlite.md")
    assert len(blocks) == 5
    run_example("\n".join(blocks), "<sqlite>", {})


def test_the_page_on_text_runs() -> None:
    blocks = examples(ROOT / "docs" / "text.md")
    assert len(blocks) == 5
    run_example("\n".join(blocks), "<text>", {})


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "assertions"), [("pipelines.md", 9), ("arrow.md", 8), ("seeing.md", 5)]
)
def test_pages_that_are_programs_run(page: str, assertions: int, tmp_path: Path) -> None:
    """In processes of their own: they assert how much memory it took, or how many calls there
    were.
    """
    source = "\n".join(examples(ROOT / "docs" / page))
    assert source.count("assert ") >= assertions
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


ENGINES = re.split(
    r"^## (.*)$", (ROOT / "docs" / "engines.md").read_text(), flags=re.MULTILINE
)  # what all sections share; then the title and text of each


@pytest.mark.parametrize(
    "section",
    [at for at in range(1, len(ENGINES), 2) if "```python\n" in ENGINES[at + 1]],
    ids=lambda at: ENGINES[at],
)
def test_the_page_on_engines_runs(section: int) -> None:
    """Each section after what all share."""
    blocks = examples_of(ENGINES[0]) + examples_of(ENGINES[section + 1])
    assert len(blocks) > 1 and any("assert " in block for block in blocks)
    source = "\n".join(blocks)
    for package in re.findall(r"^import (\w+)|^from (\w+)", source, flags=re.MULTILINE):
        pytest.importorskip("".join(package))
    if "pyspark" in source:
        spark_session()  # before that of the example, which is the same
    run_example("\n".join(blocks), f"<engines: {ENGINES[section]}>", {})


def test_the_page_on_serving_runs() -> None:
    """The first block is a file; the others are one program."""
    pytest.importorskip("grpc")
    blocks = examples(ROOT / "docs" / "serving.md")
    assert len(blocks) == 2
    run_example("\n".join(blocks), "<serving>", {})


def test_the_page_on_data_files_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = examples(ROOT / "docs" / "data.md")
    assert len(blocks) == 3
    run_example("\n".join(blocks), "<data>", {})


def test_batches_in_sql_run() -> None:
    blocks = examples(ROOT / "docs" / "sqlite_batches.md")
    assert len(blocks) == 3
    run_example("\n".join(blocks), "<sqlite_batches>", {})


BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)


def test_the_languages_give_the_same() -> None:
    (source,) = examples(ROOT / "docs" / "choosing.md")
    run_example(source, "<choosing>", {})


@pytest.mark.long
@pytest.mark.parametrize(("page", "count"), [("native.md", 11), ("wasm.md", 9)])
def test_pages_on_compiled_functions_run(
    page: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From top to bottom, in an empty folder: files are written, commands are run. Of the examples
    in Python those run that say what comes out.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    names: dict[str, object] = {}
    made = 0
    for language, title, source in BLOCK.findall((ROOT / "docs" / page).read_text()):
        if title:
            (tmp_path / title).write_text(source)
        elif language == "sh":
            subprocess.run(["bash", "-euo", "pipefail", "-c", source], check=True, timeout=300)
        elif language == "python":
            code = compile(source, f"<{page}>", "exec")
            if "assert" in source:
                exec(code, names)
                made += 1
    assert made == count


WHOLE_HOWTOS = [
    block for block in examples(ROOT / "docs" / "howto.md") if block.startswith("import ")
]


@pytest.mark.parametrize("index", range(len(WHOLE_HOWTOS)))
def test_whole_examples_of_the_howto_run(index: int) -> None:
    run_example(WHOLE_HOWTOS[index], f"<howto {index}>", {})


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name: str) -> None:
    given: dict[str, object] = {"udfvm": udfvm}
    if re.fullmatch(r"udfvm\.engines\.spark(_columns|_frames|_sql)?", name):
        given["spark"] = spark_session()
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, attempted = doctest.testmod(module, optionflags=flags, extraglobs=given)
    assert attempted and not failed


OUTSIDE_THE_SITE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
INLINE_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site both name them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"\s", "-", title) for title in words}


@pytest.mark.parametrize(
    "document",
    [ROOT / name for name in OUTSIDE_THE_SITE] + sorted((ROOT / "docs").glob("*.md")),
    ids=lambda document: document.name,
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for link in INLINE_LINK.findall(document.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{document.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{document.name}: {link}"


class Page(HTMLParser):
    """What a page of the site refers to, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.references: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if anchor := attributes.get("id"):
            self.anchors.add(anchor)
        if source := attributes.get("src"):
            self.loaded.append(source)
        if reference := attributes.get("href"):
            loads = tag == "link" and attributes.get("rel") != "canonical"
            (self.loaded if loads else self.references).append(reference)


@pytest.mark.long
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    pages = {path: Page(path) for path in tmp_path.glob("*.html") if path.name != "404.html"}
    documents = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in pages} >= documents
    assert (tmp_path / "search" / "search_index.json").exists()
    for path, page in pages.items():
        assert not [url for url in page.loaded if "//" in url], path.name
        for link in page.loaded + page.references:
            if "//" in link or link == ".":
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in pages:
                assert anchor in pages[target].anchors, f"{path.name}: {link}"
