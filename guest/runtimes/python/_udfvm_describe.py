"""Says what source text declares, without running it: name, parameters and result of its function.

The payload of DESCRIBE is JSON: ``form`` ("module", "expression" or "file"), ``name``, ``entry``,
``source`` and, for an expression, ``parameters`` (name and type). The reply is texts that end with
NUL: the function's name, the type of its result, then name and type of each parameter. A type that
may be null ends with ``?``; one that the text does not say is empty. Of a file the reply is JSON,
the list of what it declares.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

import _udfvm_agent
from _udfvm_agent import STATUS_OK
from _udfvm_expression import parsed, parsed_module
from _udfvm_inference import ARROW, NOTHING, Unknown, annotated_type, inferred, parameter_type
from _udfvm_texts import listed

_Function = ast.FunctionDef | ast.Lambda


def answer(length: int) -> tuple[int, int]:
    """Answers DESCRIBE."""
    request = json.loads(bytes(_udfvm_agent.input()[:length]))
    if request["form"] == "file":
        from _udfvm_declarations import declarations  # few images need it

        reply = json.dumps(declarations(request["name"], request["source"])).encode()
    else:
        describe = _expression if request["form"] == "expression" else _module
        reply = "".join(f"{text}\0" for text in describe(request)).encode()
    output = _udfvm_agent.output()
    if len(reply) > len(output):
        raise ValueError("the signature of the function is too long")
    output[: len(reply)] = reply
    return STATUS_OK, len(reply)


def _expression(request: dict[str, Any]) -> list[str]:
    filename = f"<{request['name']}>"
    tree = parsed(filename, request["source"])
    types = {name: parameter_type(type_) for name, type_ in request["parameters"]}
    try:
        found = "" if request["result"] else inferred(tree.body, types)
    except Unknown as unknown:
        part = ast.unparse(unknown.node)
        reason = f": {unknown.reason}" if unknown.reason else ""
        raise TypeError(
            f"the type of {part[:200]!r} cannot be told from the text{reason}; pass result="
        ) from None
    if found == NOTHING:
        raise TypeError("the expression is always None: pass result=, or correct it")
    return [request["name"], f"{ARROW[found]}?" if found else ""]


def _module(request: dict[str, Any]) -> list[str]:
    name, entry, filename = request["name"], request["entry"], f"<{request['name']}>"
    tree = parsed_module(filename, request["source"])
    functions = _functions(tree.body)
    wanted = entry or (name if name in functions else "")
    if not functions and not entry:
        raise NameError(
            "the source defines no function: define one by def, or name one by function="
        )
    chosen = wanted or list(functions)[-1]
    if chosen not in functions:  # made when the source runs, or not at all
        if not request["result"]:
            others = (
                f"; it defines {listed(functions, 'and')}: name one of these,"
                if functions
                else ": define it,"
            )
            raise NameError(
                f"the source defines no function {chosen!r} by def{others} or pass a signature, if"
                " it makes the function in another way"
            )
        return [chosen, ""]
    if not request["result"]:
        _check_parameters(chosen, functions[chosen].args)
    return [chosen, *_signature(functions[chosen])]


def _functions(statements: Sequence[ast.stmt]) -> dict[str, _Function]:
    """Returns the functions that a module defines at its top, the last one last."""
    found: dict[str, _Function] = {}
    for statement in statements:
        if isinstance(statement, ast.FunctionDef):
            found.pop(statement.name, None)
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    found.pop(target.id, None)
                    found[target.id] = statement.value
    return found


def _check_parameters(name: str, taken: ast.arguments) -> None:
    """Raises TypeError for parameters whose arguments have no place in what annotations say."""
    if variable := taken.vararg or taken.kwarg:
        stars = "*" if taken.vararg else "**"
        raise TypeError(
            f"{name}() takes {stars}{variable.arg}, and annotations do not say how many arguments"
            " that are: pass a signature, such as '(double, double) -> double'"
        )
    given = zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
    missing = [each.arg for each, default in given if default is None]
    if missing:
        raise TypeError(
            f"{name}() takes {missing[0]!r} by keyword alone, and arguments are passed by position:"
            " move it before the *"
        )


def _signature(function: _Function) -> list[str]:
    taken = function.args
    returns = function.returns if isinstance(function, ast.FunctionDef) else None
    texts = [_annotation(returns)]
    for parameter in (*taken.posonlyargs, *taken.args):
        texts += [parameter.arg, _annotation(parameter.annotation)]
    return texts


def _annotation(annotation: ast.expr | None) -> str:
    if annotation is None:
        return ""
    try:
        type_, nullable = annotated_type(annotation)
    except Unknown:
        return ""
    return f"{type_}?" if nullable else type_
