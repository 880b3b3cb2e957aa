"""What the documentation shows runs, and the examples in docstrings do."""

from __future__ import annotations

import doctest
import importlib
import inspect
import linecache
import re
import subprocess
import sys
from pathlib import Path

import pytest

import udfvm
from udfvm import limits as policy
from udfvm.functions import native, wasm
from udfvm.limits import Limits, format_size, parse_size

ROOT = Path(__file__).resolve().parents[2]
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
    (source,) = examples(ROOT / "README.md")
    done = subprocess.run(
        [sys.executable, *options, "-"],
        input=source,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    printed = [
        line for line in done.stdout.splitlines() if line.startswith(("4", "["))
    ]  # pasted, expressions show what they are
    assert printed == [
        "4.0", "[4.0, None, -1.0]", "[('AA', None), ('UA', 1.5)]", "[4.0, None, -1.0]",
    ]  # fmt: skip


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


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_limits_are_as_documented() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) ?\|$",
        (ROOT / "docs" / "reference.md").read_text(),
        re.MULTILINE,
    )
    said = {option: bounds for option, *bounds in rows}
    options = inspect.signature(Limits.parse).parameters
    assert said["memory"][1:] == [
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
        with pytest.raises(udfvm.OptionError, match="is not between 16MiB and 64GiB"):
            Limits.parse(memory=beyond)
    assert [float(said[name][2]) for name in ("timeout", "build_timeout", "host_calls")] == [
        options[name].default for name in ("timeout", "build_timeout", "host_calls")
    ]
    assert (
        said["max_log"][2] == format_size(options["max_log"].default)
        and options["max_output"].default is None
    )
    assert set(said) >= {name for name in options if name not in ("files", "deterministic", "log")}


def test_public_names_are_documented() -> None:
    for name in udfvm.__all__:
        assert getattr(udfvm, name).__doc__ or name.startswith("__"), name
