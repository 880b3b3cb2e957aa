"""What the documentation states is so in the code, and figures are those that were measured."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import runpy
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from bench_modules import bench_module

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm import cli
from udfvm import limits as policy
from udfvm.functions import native, options, wasm
from udfvm.limits import Limits, parse_size
from udfvm.texts import format_size
from udfvm.types.arrow_types import Kind

ROOT = Path(__file__).resolve().parents[2]
TYPE_TABLE = runpy.run_path(str(ROOT / "docs" / "type_table.py"))
QUOTATIONS = bench_module("quotations")


def test_the_table_of_types_is_that_of_the_code() -> None:
    """``docs/type_table.py`` writes it. No annotation stands for nulls and unions."""
    assert TYPE_TABLE["written"]() == (ROOT / "docs" / "reference.md").read_text()
    assert {row.type.kind for row in TYPE_TABLE["rows"]()} == set(Kind) - {
        Kind.NULL,
        Kind.UNION,
    }


# A number with a unit of what is measured: times, ratios, memory, pages.
MEASURED = re.compile(r"\d[\d.,]*(?:\s(?:ns|µs|us|ms|s|seconds|[KMG]iB|times|pages|%)|x)(?!\w)")
# Sizes that the code decides, and what a ratio of 1 stands for.
DECIDED = ("128 MiB", "64 MiB", "2 MiB", "1 MiB", "1x")


def quoted_figures() -> list[Any]:
    return list(QUOTATIONS.quotations(QUOTATIONS.load()))


def test_figures_of_the_documentation_are_those_that_were_measured() -> None:
    """``python bench/record.py --pages`` puts them there."""
    for quotation in quoted_figures():
        text = QUOTATIONS.PAGES[quotation.page].read_text()
        found = [match.groups() for match in quotation.pattern().finditer(text)]
        assert found == [tuple(quotation.figures)], f"{quotation.page}: {quotation.text}"


@pytest.mark.parametrize("page", sorted(QUOTATIONS.PAGES))
def test_no_figure_of_the_documentation_stands_there_unmeasured(page: str) -> None:
    text = QUOTATIONS.PAGES[page].read_text()
    for quotation in quoted_figures():
        if quotation.page == page:
            text = quotation.pattern().sub("", text)
    found = [" ".join(match.split()) for match in MEASURED.findall(text)]
    assert not [each for each in found if each not in DECIDED]


def test_a_figure_changed_by_hand_is_found() -> None:
    for quotation in quoted_figures():
        text = " ".join(QUOTATIONS.PAGES[quotation.page].read_text().split())
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
        if name in udfvm._ENGINES:  # whose packages need not be installed
            source = (ROOT / "udfvm" / "engines" / f"{name}.py").read_text()
            assert ast.get_docstring(ast.parse(source)), name
        else:
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


def test_the_readme_links_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    pages = [f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")]
    pages += ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "sql_examples/"]
    assert not [page for page in pages if f"({page}" not in text]


def test_every_exception_is_in_the_reference() -> None:
    cells = " ".join(table_of("reference.md", "## Exceptions"))
    documented = set(re.findall(r"`(\w+Error)`", cells))
    exceptions = {name for name in udfvm.__all__ if name.endswith("Error")}
    assert exceptions - {"Error", "CallError"} <= documented
    assert all(hasattr(udfvm, name) or hasattr(builtins, name) for name in documented)


def test_the_options_of_declarations_are_as_documented() -> None:
    columns = (options.ScalarPythonOptions, options.NativeOptions, options.WasmOptions)
    seen: list[set[str]] = [set(), set(), set()]
    for cells, *takes in table_rows("reference.md", "| option | Python |"):
        for number, cell in enumerate(takes):
            assert cell in ("yes", "no") or "isolation" in cells
            if cell != "no":
                seen[number] |= set(re.findall(r"`(\w+)`", cells))
    assert seen == [set(each.__annotations__) for each in columns]


def test_the_commands_are_in_the_reference() -> None:
    documented = "\n".join(table_of("reference.md", "## Command line"))
    written = "\n".join(map(" ".join, table_of("reference.md", "## Command line").values()))
    for path, command in commands_of(cli.commands, "udfvm"):
        assert path in documented, path
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert option in documented + written, f"{path} {option}"


def test_the_environment_variables_are_in_the_reference() -> None:
    documented = set(table_of("reference.md", "## Environment variables"))
    assert documented == {f"`{name}`" for name in variables_of_the_code()}


def table_rows(page: str, start: str) -> list[list[str]]:
    """The rows of the table that begins with a text."""
    table = (ROOT / "docs" / page).read_text().split(start)[1].split("\n\n")[0]
    return [re.split(r" \| ", row.strip("| ")) for row in table.splitlines()[2:]]


def commands_of(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """The commands below a command, each with its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, each in command.commands.items():
        yield from commands_of(each, f"{path} {name}")


def variables_of_the_code() -> set[str]:
    """The variables of the environment that programs with udfvm read."""
    code = "\n".join(
        path.read_text()
        for pattern in ("*.py", "*.c")
        for path in (ROOT / "udfvm").rglob(pattern)
        if "_guest" not in path.parts
    )
    return set(re.findall(r"""(?:getenv\(|environ\.get\(|environ\[)["'](UDFVM_\w+)""", code))


@pytest.mark.parametrize(
    "owner",
    [
        udfvm,
        udfvm.sqlite,
        udfvm.arrow,
        udfvm.dask,
        udfvm.datafusion,
        udfvm.duckdb,
        udfvm.ibis,
        udfvm.pandas,
        udfvm.polars,
        *([udfvm.spark] if find_spec("pyspark") else []),
        udfvm.ScalarFunction,
        udfvm.TableFunction,
        udfvm.AggregateFunction,
        udfvm.Pool,
        udfvm.PoolStatistics,
        udfvm.Progress,
        udfvm.sqlite.Policy,
    ],
    ids=lambda owner: owner.__name__,
)
def test_every_public_name_is_on_a_page(owner: Any) -> None:
    text = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    names = {name for name in dir(owner) if not name.startswith("_")}
    assert names <= set(re.findall(r"\w+", text)), names - set(re.findall(r"\w+", text))


def test_defaults_of_a_pool_are_as_documented() -> None:
    options = inspect.signature(udfvm.Pool).parameters
    text = " ".join((ROOT / "docs" / "howto.md").read_text().split())
    assert f"up to {options['size'].default} VMs for each base image" in text
    assert f"`wait` seconds ({options['wait'].default:g}, if not given)" in text
    assert f"above `keep` ({options['keep'].default}, if not given)" in text
    assert f"after `keep_seconds` ({options['keep_seconds'].default:g})" in text
