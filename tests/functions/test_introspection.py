"""``inspect.signature`` and ``help`` of functions, in every form and language."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

import udfvm

ADDING = '(module (func (export "add") (param f64 f64) (result f64) local.get 0))'


@udfvm.udf
def scalar(x: float, y: float = 2.0) -> float | None:
    """Adds."""
    return x + y


@udfvm.udf(vectorized=True)
def columns(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return x


@udfvm.udf
def any_number(first: str, *others: str) -> str:
    return first + "".join(others)


@udfvm.table_function(columns={"i": int})
def table(count: int = 3) -> Iterator[int]:
    yield from range(count)


@udfvm.aggregate
class Largest:
    def __init__(self) -> None:
        self.found = 0.0

    def step(self, x: float) -> None:
        self.found = max(self.found, x)

    def finish(self) -> float | None:
        return self.found


def test_what_a_form_has_not() -> None:
    for function, text in ((Largest, "have no aggregates: call"), (table, "for each row: call")):
        assert not hasattr(function, "expr")
        with pytest.raises(AttributeError, match=f"no attribute 'expr', because .*{text}"):
            function.expr("x")
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        scalar.nothing  # noqa: B018


def test_an_aggregate_wants_columns() -> None:
    for given, found in (([1.0], "list"), (1.0, "float"), (range(2), "range")):
        with pytest.raises(udfvm.TypeMappingError, match=f"got {found}: pass at least one column"):
            Largest(given)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (scalar, "(x: float, y: float = 2.0) -> float | None"),
        (any_number, "(first: str, *others: str) -> str"),
        (table, "(count: int = 3) -> Iterator[int]"),
        (Largest, "(x: float) -> float | None"),
    ],
)
def test_the_signature_is_that_of_a_call(function: udfvm.Function, signature: str) -> None:
    assert str(inspect.signature(function)).replace("'", "") == signature


def test_signatures_of_compiled_functions() -> None:
    native = udfvm.from_c(
        "double add(double x, double y) { return x + y; }",
        "add",
        signature="(x: f64, y: f64) -> f64",
    )
    assert list(inspect.signature(native).parameters) == ["x", "y"]
    wasm = udfvm.from_wasm(ADDING, "add")
    assert list(inspect.signature(wasm).parameters) == [each.name for each in wasm.parameters]
    assert inspect.signature(wasm.with_options(name="plus")) == inspect.signature(wasm)
    for function, language in ((native, "native code"), (wasm, "WebAssembly")):
        assert f"A scalar function in {language}" in pydoc.render_doc(function)


@pytest.mark.parametrize("use_jedi", [True, False])
def test_completion_and_help_show_the_parameters_of_every_kind(use_jedi: bool) -> None:
    completer = pytest.importorskip("IPython.core.completer")
    functions = {
        "scalar": scalar,
        "columns": columns,
        "any_number": any_number,
        "table": table,
        "Largest": Largest,
        "native": udfvm.from_c(
            "double add(double x, double y) { return x + y; }",
            "add",
            signature="(x: f64, y: f64) -> f64",
        ),
        "wasm": udfvm.from_wasm(ADDING, "add"),
        "text": udfvm.from_source("def add(x: float, y: float) -> float: return x + y"),
        "expression": udfvm.expression("a + b", a=float, b=float),
    }
    made = completer.IPCompleter(namespace=functions, global_namespace={}, use_jedi=use_jedi)
    for name, function in functions.items():
        with completer.provisionalcompleter():
            found = {each.text for each in made.completions(f"{name}(", len(name) + 1)}
        names = [each.name for each in function.parameters]
        assert {f"{each}=" for each in names if each[0] != "*"} <= found, name
        first = pydoc.render_doc(function, renderer=pydoc.plaintext).splitlines()[2]
        assert all(f"{each}: " in first for each in names), first
        assert "*arguments" not in first


def test_classes_have_the_signature_of_their_constructor() -> None:
    for cls in (udfvm.Function, udfvm.ScalarFunction, udfvm.TableFunction):
        assert next(iter(inspect.signature(cls).parameters)) == "program"


def test_help_shows_the_documentation_or_says_what_it_is() -> None:
    assert "Adds." in pydoc.render_doc(scalar)
    for function, what in (
        (columns, "A vectorised function in Python"),
        (any_number, "A scalar function in Python"),
        (table, "A table function in Python"),
        (Largest, "An aggregate in Python"),
    ):
        text = pydoc.render_doc(function)
        assert what in text and "constructor" not in text
        named = text.split("help(udfvm.")[1].split(")")[0]
        assert isinstance(function, getattr(udfvm, named))


def test_a_documented_function_that_is_copied_keeps_its_documentation() -> None:
    assert scalar.with_options(timeout=1).__doc__ == "Adds."
