"""Every public object has documentation, and an example that runs.

``test_documentation.py`` runs the examples in docstrings; that of ``udfvm.h`` runs here.
"""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from sources import ROOT

import udfvm
import udfvm.arrow
import udfvm.errors
import udfvm.sqlite
import udfvm.wasm
from udfvm.cli import commands
from udfvm.functions import options

#: Errors that only a broken host, a hostile guest or a race raises: an example cannot make them.
WITHOUT_EXAMPLE = frozenset(
    {
        udfvm.BusyError,
        udfvm.CacheError,
        udfvm.ForkedError,
        udfvm.HardenError,
        udfvm.HostError,
        udfvm.ImageError,
        udfvm.InputTooLargeError,
        udfvm.KVMPermissionError,
        udfvm.KVMUnavailableError,
        udfvm.ObserveError,
        udfvm.ProtocolError,
        udfvm.UnsafeBackendError,
        udfvm.harden,  # for good
    }
)
#: Functions whose ``**options`` are those of a ``TypedDict``.
OPTIONS = {
    "udf": options.ScalarPythonOptions,
    "table_function": options.PythonOptions,
    "aggregate": options.PythonOptions,
    "from_elf": options.NativeOptions,
    "from_wasm": options.WasmOptions,
    "from_source": options.ScalarPythonOptions,
    "expression": options.ScalarPythonOptions,
    "run": options.PythonOptions,
}
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (
        udfvm,
        udfvm.sqlite,
        udfvm.arrow,
        udfvm.wasm,
        udfvm.dask,
        udfvm.datafusion,
        udfvm.duckdb,
        udfvm.ibis,
        udfvm.pandas,
        udfvm.polars,
        *([udfvm.spark] if find_spec("pyspark") else []),
    )
    for name in module.__all__
    if not (module is udfvm and name in udfvm._ENGINES) and callable(getattr(module, name))
}


def own_docstring(value: Any) -> str:
    """The docstring of an object itself: a class inherits that of its base."""
    found = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    return found or ""


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that classes of this package define, without those of tuples."""
    for base in cls.__mro__:
        if base.__module__.startswith("udfvm."):
            for name, value in vars(base).items():
                is_method = inspect.isfunction(value) or isinstance(value, (property, staticmethod))
                if is_method and not name.startswith("_"):
                    yield f"{base.__name__}.{name}", value


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_object_has_a_docstring_and_an_example(name: str) -> None:
    value = PUBLIC[name]
    assert own_docstring(value), name
    examples = sum(len(test.examples) for test in doctest.DocTestFinder().find(value, name))
    assert bool(examples) == (value not in WITHOUT_EXAMPLE), name


@pytest.mark.parametrize("name", [name for name in PUBLIC if isinstance(PUBLIC[name], type)])
def test_a_public_class_documents_its_members(name: str) -> None:
    members = dict(public_members(PUBLIC[name]))
    assert [member for member, value in members.items() if not value.__doc__] == []


@pytest.mark.parametrize("name", [name for name in PUBLIC if not isinstance(PUBLIC[name], type)])
def test_a_public_function_documents_its_arguments(name: str) -> None:
    function = PUBLIC[name]
    arguments = set(inspect.signature(inspect.unwrap(function)).parameters) - {"options"}
    declaring = OPTIONS.get(name.removeprefix("udfvm."))
    arguments |= set(declaring.__annotations__) if declaring else set()
    documented = set(re.findall(r"\w+", own_docstring(function)))
    assert arguments - documented == set()
    assert not arguments or "Raises:" in own_docstring(function)


def test_attributes_of_errors_are_documented() -> None:
    for cls in vars(udfvm.errors).values():
        if isinstance(cls, type) and issubclass(cls, udfvm.Error) and "__init__" in vars(cls):
            parameters = set(inspect.signature(cls).parameters) - {"message", "arguments"}
            documented = {
                word for base in cls.__mro__ for word in re.findall(r"\w+", base.__doc__ or "")
            }
            assert parameters <= documented, cls


def commands_in(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, group
    for each in group.commands.values() if isinstance(group, click.Group) else ():
        yield from commands_in(each, f"{name} {each.name}")


@pytest.mark.parametrize(("name", "command"), list(commands_in(commands, "udfvm")))
def test_a_command_explains_itself_and_its_options(name: str, command: click.Command) -> None:
    assert command.help, name
    described = [each for each in command.params if isinstance(each, click.Option)]
    assert [option.name for option in described if not option.help] == []


# ---- Headers ----

HEADERS = (
    "guest/runtimes/native/udfvm.h",
    "udfvm/sqlite/src/extension.h",
    "udfvm/vmm/core/api.h",
)
DECLARED = re.compile(r"^(?:[A-Za-z_].*[\s*])?(udfvm_\w+)\(", re.MULTILINE)
STRUCTURE = re.compile(r"^(?:struct|enum) (udfvm_\w+) \{", re.MULTILINE)


def undocumented(text: str) -> list[str]:
    """Functions, structures and enumerations in paragraphs that do not begin with a comment."""
    found = []
    for paragraph in re.split(r"\n\n", text):
        names = DECLARED.findall(paragraph) + STRUCTURE.findall(paragraph)
        if names and not paragraph.lstrip().startswith("/*"):
            found.append(names[0])
    return found


@pytest.mark.parametrize("header", HEADERS)
def test_public_headers_are_documented(header: str) -> None:
    text = (ROOT / header).read_text()
    assert text.startswith("/*")
    assert undocumented(text) == []


def test_the_example_of_the_header_runs() -> None:
    text = (ROOT / "guest/runtimes/native/udfvm.h").read_text()
    (comment,) = re.findall(r"\A/\*(.*?)\*/", text, re.DOTALL)
    lines = [line[7:] for line in comment.splitlines() if line.startswith(" *     ")]
    source = "\n".join(lines[: next(i for i, line in enumerate(lines) if line == "}") + 1])
    score = udfvm.from_c(source, "score")
    assert [score(12.0, 300.0), score(1.0, 0.0)] == [4.0, None]


def test_what_has_no_documentation_is_found() -> None:
    assert undocumented("/* Adds. */\nint udfvm_add(int a, int b);\n") == []
    assert undocumented("int udfvm_add(int a, int b);\n") == ["udfvm_add"]
    assert undocumented("struct udfvm_pair {\n    int a, b;\n};\n") == ["udfvm_pair"]


def test_the_sources_are_there() -> None:
    assert all((ROOT / header).exists() for header in HEADERS)
    assert Path(udfvm.get_include(), "udfvm.h").exists()
