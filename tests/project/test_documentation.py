"""What the documentation shows runs, and the examples in docstrings do."""

from __future__ import annotations

import doctest
import importlib
import inspect
import linecache
import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import udfvm
from udfvm import limits as policy
from udfvm.functions import native, wasm
from udfvm.limits import Limits, parse_size
from udfvm.texts import format_size
from udfvm.types.arrow_types import Kind

ROOT = Path(__file__).resolve().parents[2]
TYPE_TABLE = runpy.run_path(str(ROOT / "docs" / "type_table.py"))
QUOTATIONS = runpy.run_path(str(ROOT / "bench" / "quotations.py"))
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "udfvm").rglob("*.py")
    if "_guest" not in path.parts and ">>> " in path.read_text()
)


def examples(document: Path) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(
        r"^```python\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE
    )


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


def test_the_table_of_types_is_that_of_the_code() -> None:
    """``docs/type_table.py`` writes it."""
    assert TYPE_TABLE["written"]() == (ROOT / "docs" / "reference.md").read_text()
    assert {row.type.kind for row in TYPE_TABLE["rows"]()} == set(Kind) - {Kind.NULL}


def test_the_tutorial_runs() -> None:
    blocks = examples(ROOT / "docs" / "tutorial.md")
    assert len(blocks) > 5
    run_example("\n".join(blocks), "<tutorial>", {})


def test_the_page_on_sqlite_runs() -> None:
    blocks = examples(ROOT / "docs" / "sqlite.md")
    assert len(blocks) == 3
    run_example("\n".join(blocks), "<sqlite>", {})


@pytest.mark.parametrize(("page", "assertions"), [("pipelines.md", 9), ("arrow.md", 8)])
def test_pages_on_arrow_run(page: str, assertions: int, tmp_path: Path) -> None:
    """In processes of their own: one asserts how much memory it took."""
    source = "\n".join(examples(ROOT / "docs" / page))
    assert source.count("assert ") >= assertions
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_batches_in_sql_run() -> None:
    blocks = examples(ROOT / "docs" / "sqlite_batches.md")
    assert len(blocks) == 3
    run_example("\n".join(blocks), "<sqlite_batches>", {})


BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)


def test_the_languages_give_the_same() -> None:
    (source,) = examples(ROOT / "docs" / "choosing.md")
    run_example(source, "<choosing>", {})


@pytest.mark.parametrize(("page", "count"), [("native.md", 6), ("wasm.md", 3)])
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
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, attempted = doctest.testmod(module, optionflags=flags, extraglobs={"udfvm": udfvm})
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


# A number with a unit of what is measured: times, ratios, memory, pages.
MEASURED = re.compile(r"\d[\d.,]*(?:\s(?:ns|µs|us|ms|s|seconds|[KMG]iB|times|pages|%)|x)(?!\w)")
# Sizes that the code decides, and what a ratio of 1 stands for.
DECIDED = ("128 MiB", "64 MiB", "2 MiB", "1 MiB", "1x")


def quoted_figures() -> list[Any]:
    return list(QUOTATIONS["quotations"](QUOTATIONS["load"]()))


def test_figures_of_the_documentation_are_those_that_were_measured() -> None:
    """``python bench/record.py --pages`` puts them there."""
    for quotation in quoted_figures():
        text = QUOTATIONS["PAGES"][quotation.page].read_text()
        found = [match.groups() for match in quotation.pattern().finditer(text)]
        assert found == [tuple(quotation.figures)], f"{quotation.page}: {quotation.text}"


@pytest.mark.parametrize("page", sorted(QUOTATIONS["PAGES"]))
def test_no_figure_of_the_documentation_stands_there_unmeasured(page: str) -> None:
    text = QUOTATIONS["PAGES"][page].read_text()
    for quotation in quoted_figures():
        if quotation.page == page:
            text = quotation.pattern().sub("", text)
    found = [" ".join(match.split()) for match in MEASURED.findall(text)]
    assert not [each for each in found if each not in DECIDED]


def test_a_figure_changed_by_hand_is_found() -> None:
    for quotation in quoted_figures():
        text = " ".join(QUOTATIONS["PAGES"][quotation.page].read_text().split())
        found = quotation.pattern().search(text)
        assert found, quotation.text
        for number, figure in enumerate(quotation.figures, 1):
            first, end = found.span(number)
            changed = quotation.pattern().search(text[:first] + "7" + figure + text[end:])
            assert changed and list(changed.groups()) != quotation.figures


PATH_IN_TEXT = re.compile(r"`((?:bench|build_native|docs|guest|tests|udfvm)/[\w./-]+)`")


@pytest.mark.parametrize(
    "document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name
)
def test_paths_in_the_text_exist(document: Path) -> None:
    named = PATH_IN_TEXT.findall(document.read_text())
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_limits_are_as_documented() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) ?\|$",
        (ROOT / "docs" / "reference.md").read_text(),
        re.MULTILINE,
    )
    documented = {option: bounds for option, *bounds in rows}
    options = inspect.signature(Limits.parse).parameters
    assert documented["memory"][1:] == [
        format_size(policy.MIN_MEMORY),
        (
            f"{format_size(policy.DEFAULT_MEMORY)}; `from_wasm`"
            f" {format_size(parse_size(wasm._MEMORY))}; `from_c` and `from_elf`"
            f" {format_size(parse_size(native._MEMORY))}"
        ),
        format_size(policy.MAX_MEMORY),
    ]
    assert (
        Limits.parse(memory=policy.MIN_MEMORY).memory == 16 << 20
        and Limits.parse(memory="64GiB").memory == policy.MAX_MEMORY
    )
    for beyond in (policy.MIN_MEMORY - (2 << 20), policy.MAX_MEMORY + 1):
        with pytest.raises(udfvm.OptionError, match="must be from 16 MiB to 64 GiB"):
            Limits.parse(memory=beyond)
    assert [float(documented[name][2]) for name in ("timeout", "build_timeout", "host_calls")] == [
        options[name].default for name in ("timeout", "build_timeout", "host_calls")
    ]
    assert (
        documented["max_log"][2] == format_size(options["max_log"].default)
        and options["max_output"].default is None
    )
    assert set(documented) >= {
        name for name in options if name not in ("files", "deterministic", "log")
    }


def test_public_names_are_documented() -> None:
    for name in udfvm.__all__:
        assert getattr(udfvm, name).__doc__ or name.startswith("__"), name


def table_of(page: str, heading: str) -> dict[str, list[str]]:
    """The cells of the first table below a heading, by the first cell."""
    section = (ROOT / "docs" / page).read_text().split(f"\n{heading}\n")[1]
    (table,) = re.findall(r"^\|.*?\n(?!\|)", section, re.DOTALL | re.MULTILINE)[:1]
    rows = [re.split(r" \| ", row.strip("| ")) for row in table.splitlines()[2:]]
    return {first.removesuffix(" *"): cells for first, *cells in rows}


def test_the_options_of_register_are_as_documented() -> None:
    options = {
        name: option.default
        for name, option in inspect.signature(udfvm.sqlite.register).parameters.items()
        if option.kind is inspect.Parameter.KEYWORD_ONLY
    }
    table = table_of("sqlite.md", "## Register a function from Python")
    assert list(table) == [f"`{name}`" for name in options]
    for name, value in options.items():
        assert value is None or table[f"`{name}`"][0] == f"`{value}`", name


def test_the_settings_of_a_policy_are_as_documented() -> None:
    documented = [
        name for row in table_of("sqlite.md", "## Policy") for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(documented) == sorted(udfvm.sqlite.Policy.__dataclass_fields__)


def test_every_end_of_a_call_is_in_the_security_model() -> None:
    table = table_of("security.md", "## How a call ends")
    named = set(re.findall(r"\b\w+Error\b", " ".join(cells[0] for cells in table.values())))
    classes = {each.__name__ for each in udfvm.CallError.__subclasses__()}
    assert named >= classes, classes - named
    assert not [name for name in named if not hasattr(udfvm, name)]


def test_every_hypercall_is_in_the_security_model() -> None:
    header = (ROOT / "guest" / "include" / "udfvm_abi.h").read_text()
    hypercalls = re.findall(r"#define UDFVM_HYPERCALL_(\w+)", header)
    documented = " ".join(table_of("security.md", "### 3. There are few hypercalls"))
    words = set(re.findall(r"\w+", documented))
    assert len(hypercalls) > 10
    for hypercall in hypercalls:
        assert words & set(hypercall.lower().removeprefix("file_").split("_")), hypercall


# What differs from one error to another: names, numbers, types, what is left out.
VARIES = re.compile(
    r"'[^']*'|\([^)]*\)|\b[A-Z_]{2,}\b|\b\d+\b|…|\bvm_\w+|^udfvm: \w+:|^its \w+:"
    r"|\b(?:argument|parameter|column)s?\b"
)


def texts_in_the_code() -> str:
    """All sources as one text, in which literals that follow each other are one."""
    sources = [
        path.read_text()
        for folder in ("udfvm", "guest/kernel", "guest/runtimes")
        for pattern in ("*.c", "*.h", "*.py")
        for path in (ROOT / folder).rglob(pattern)
        if "_guest" not in path.parts
    ]
    return re.sub(r'"\s*f?"', "", "\n".join(sources))


@pytest.mark.parametrize("page", ["sqlite.md", "sqlite_batches.md"])
def test_texts_of_errors_are_those_of_the_code(page: str) -> None:
    code = texts_in_the_code()
    quoted = re.compile(r"`` (.*?) ``|`([^`]+)`")
    texts = [
        first or second
        for cell in table_of(page, "## Errors")
        for first, second in quoted.findall(cell)
    ]
    assert len(texts) > 8
    parts = [
        (text, part.strip(" ,:;"))
        for text in texts
        for part in VARIES.split(text)
        if len(part.strip(" ,:;")) >= 8
    ]
    assert not [text for text, part in parts if part not in code]
