"""Says what a file of Python declares, without running it: its functions, their signatures, and
what the decorators of udfvm say of them, as far as these are literals.

A declaration is what JSON has: ``name``, ``form`` ("scalar", "table" or "aggregate"), whether it is
``declared`` by a decorator, ``options``, ``parameters`` (a list of ``name``, ``type``,
``nullable``, ``container`` and, where it has one, ``default``, of which an ``unknown`` one is not
told), ``result``, ``columns`` of a table function, and ``refused``: why it cannot be a UDF from
here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, Final

from _udfvm_expression import parsed_module
from _udfvm_inference import Unknown
from _udfvm_written_types import Written, annotated, dotted, given, imported_names

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FORMS: Final = {
    "udfvm.udf": "scalar",
    "udfvm.table_function": "table",
    "udfvm.aggregate": "aggregate",
}
_TYPES: Final = ("input_types", "output_type", "columns")
# Packages that take long to import: base images have them.
_PACKAGES: Final = frozenset(["numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn"])
_MAX_SHOWN: Final = 100  # characters of a part of the text, in an error


class _Refused(Exception):
    """A declaration that cannot be taken from text."""


def declarations(filename: str, source: str) -> dict[str, Any]:
    """Returns what a file declares, ``functions`` in the order of the text, and the packages that
    it imports, ``imports``. Raises SyntaxError.
    """
    tree = parsed_module(filename, source)
    names = imported_names(tree)
    found: dict[str, dict[str, Any]] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made = _declaration(statement, names)
            found.pop(statement.name, None)
            if made is not None:
                found[statement.name] = made
    imports = {name.partition(".")[0] for name in names.values()}
    return {"functions": list(found.values()), "imports": sorted(imports & _PACKAGES)}


def _declaration(
    statement: _Function | ast.ClassDef, names: Mapping[str, str]
) -> dict[str, Any] | None:
    """Returns the declaration; None for a class that is none."""
    decorator = _decorator(statement, names)
    is_class = isinstance(statement, ast.ClassDef)
    if decorator is None and is_class:
        return None
    form, keywords = decorator or ("scalar", [])
    made: dict[str, Any] = {
        "name": statement.name,
        "form": form,
        "declared": decorator is not None,
        "options": {},
        "parameters": [],
        "result": ["", False],
        "columns": [],
        "refused": "",
    }
    try:
        if is_class != (form == "aggregate"):
            what = "a class" if is_class else "a function"
            raise _Refused(f"it is {what}, which @udfvm.{_name_of(form)} does not decorate")
        options, types = _options(keywords, names)
        made["options"] = options
        made |= _signature(statement, form, types, names)
    except _Refused as refused:
        made["refused"] = str(refused)
    return made


def _name_of(form: str) -> str:
    return next(name for name, each in _FORMS.items() if each == form).partition(".")[2]


def _decorator(
    statement: _Function | ast.ClassDef, names: Mapping[str, str]
) -> tuple[str, Sequence[ast.keyword]] | None:
    """Returns the form that a decorator of udfvm declares, and its options; None without one."""
    for each in statement.decorator_list:
        is_call = isinstance(each, ast.Call)
        form = _FORMS.get(dotted(each.func if isinstance(each, ast.Call) else each, names))
        if form is not None:
            return form, each.keywords if is_call else []  # type: ignore[attr-defined]
    return None


# ---- Options ----


def _options(
    keywords: Sequence[ast.keyword], names: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, ast.expr]]:
    """Returns the options that are literals, and the texts of those that are types."""
    options: dict[str, Any] = {}
    types: dict[str, ast.expr] = {}
    for each in keywords:
        if each.arg is None:
            raise _Refused("its decorator has **options: write them out")
        if each.arg in _TYPES:
            types[each.arg] = each.value
            continue
        try:
            options[each.arg] = _plain(ast.literal_eval(each.value))
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise _Refused(
                f"its option {each.arg}={_shown(each.value)} is no literal, and nothing of the"
                " file runs to tell its value: write a number, text, True, False, None or a list"
                " of these, or leave it out"
            ) from None
    return options, types


def _plain(value: object) -> object:
    """Returns a literal as JSON has it. Raises ValueError if it does not."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    raise ValueError


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


# ---- Signatures ----


def _signature(
    statement: _Function | ast.ClassDef,
    form: str,
    types: Mapping[str, ast.expr],
    names: Mapping[str, str],
) -> dict[str, Any]:
    if isinstance(statement, ast.ClassDef):
        step, finish = (_method(statement, name) for name in ("step", "finish"))
        parameters = _parameters(step, 1, types.get("input_types"), names)
        result = _type(types.get("output_type"), finish.returns, names)
        inverse = any(getattr(each, "name", "") == "inverse" for each in statement.body)
        return {"parameters": parameters, "result": result, "has_inverse": inverse}
    if isinstance(statement, ast.AsyncFunctionDef):
        raise _Refused("it is an async function: declare it by def")
    parameters = _parameters(statement, 0, types.get("input_types"), names)
    if form == "table":
        return {"parameters": parameters, "columns": _columns(types.get("columns"), names)}
    return {
        "parameters": parameters,
        "result": _type(types.get("output_type"), statement.returns, names),
    }


def _method(cls: ast.ClassDef, name: str) -> ast.FunctionDef:
    for each in cls.body:
        if isinstance(each, ast.FunctionDef) and each.name == name:
            return each
    raise _Refused(f"an aggregate is a class with step() and finish(), and it has no {name}()")


def _parameters(
    function: _Function, skipped: int, input_types: ast.expr | None, names: Mapping[str, str]
) -> list[list[Any]]:
    taken = function.args
    required = [
        each.arg
        for each, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
        if default is None
    ]
    if taken.vararg is not None or required:
        many = f"*{taken.vararg.arg}" if taken.vararg else f"{required[0]}, by name only"
        raise _Refused(f"it has a parameter {many}: give it parameters by position")
    positional = [*taken.posonlyargs, *taken.args]
    defaults = [None] * (len(positional) - len(taken.defaults)) + list(taken.defaults)
    pairs = list(zip(positional, defaults, strict=True))[skipped:]
    declared = _given_types(input_types, [each.arg for each, _ in pairs])
    found = []
    for each, default in pairs:
        written = _type(declared.get(each.arg), each.annotation, names)
        found.append([each.arg, *written, *_default(default)])
    return found


def _default(node: ast.expr | None) -> list[Any]:
    """Returns the default of a parameter, in a list; of an unknown one, two values."""
    if node is None:
        return []
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return [None, "unknown"]
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return [value] if is_plain else [None, "unknown"]


def _given_types(node: ast.expr | None, names: Sequence[str]) -> dict[str, ast.expr]:
    """Returns the types in ``input_types=``, by the parameters' names."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return {}
    if isinstance(node, (ast.List, ast.Tuple)):
        if len(node.elts) != len(names):
            raise _Refused(
                f"input_types= has {len(node.elts)} types, and it has {len(names)} parameters"
            )
        return dict(zip(names, node.elts, strict=True))
    return _by_name("input_types", node)


def _by_name(option: str, node: ast.expr) -> dict[str, ast.expr]:
    if isinstance(node, ast.Dict):
        keys = [each.value if isinstance(each, ast.Constant) else None for each in node.keys]
        if all(isinstance(key, str) for key in keys):
            return dict(zip(map(str, keys), node.values, strict=True))
    raise _Refused(
        f"its option {option}={_shown(node)} is no literal, and nothing of the file runs to tell"
        " its value: write the types out, by name"
    )


def _columns(node: ast.expr | None, names: Mapping[str, str]) -> list[list[Any]]:
    if node is None:
        raise _Refused("a table function needs columns=, with a type for each by name")
    found = []
    for name, each in _by_name("columns", node).items():
        try:
            found.append([name, given(each, names).type])
        except Unknown:
            raise _Refused(f"column {name!r} has the type {_shown(each)}, which is none") from None
    return found


def _type(
    declared: ast.expr | None, annotation: ast.expr | None, names: Mapping[str, str]
) -> list[Any]:
    """Returns type, nullable and container of a parameter or result. The type is empty if the text
    does not tell it.
    """
    try:
        said = Written("") if annotation is None else annotated(annotation, names)
    except Unknown:
        said = Written("")
    if declared is not None:
        try:
            chosen = given(declared, names)
        except Unknown:
            raise _Refused(f"{_shown(declared)} is no type: write its name as text") from None
        said = said._replace(type=chosen.type, nullable=said.nullable or chosen.nullable)
    return list(said)
