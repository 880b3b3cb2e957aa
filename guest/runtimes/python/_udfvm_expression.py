"""Expressions that are functions: ``a / b * 100`` with the parameters a and b."""

from __future__ import annotations

import ast
import builtins
import importlib
import linecache
from collections.abc import Callable, Sequence
from typing import Any, Final

from _udfvm_names import LIBRARIES

# Modules that an expression may use without an import, which it cannot have.
_MODULES: Final = frozenset(
    [
        "base64",
        "calendar",
        "cmath",
        "collections",
        "datetime",
        "decimal",
        "fractions",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "textwrap",
        "time",
        "unicodedata",
        "urllib",
        "uuid",
    ]
)


def compiled(text: str, filename: str, mode: str, flags: int = 0) -> Any:
    """Compiles source text, whose lines tracebacks show. Raises SyntaxError, with the line."""
    lines = text.splitlines(keepends=True)
    linecache.cache[filename] = (len(text), None, lines, filename)
    try:
        return compile(text, filename, mode, flags, dont_inherit=True)
    except SyntaxError as error:
        # What the parser does not find has no line: Python reads it from the file.
        if error.text is None and error.lineno and error.lineno <= len(lines):
            error.text = lines[error.lineno - 1]
        raise


def parsed_module(filename: str, source: str) -> ast.Module:
    """Parses a module. Raises SyntaxError."""
    source = source.removeprefix("\ufeff")
    compiled(source, filename, "exec")  # which finds more than the parser
    tree: ast.Module = compiled(source, filename, "exec", ast.PyCF_ONLY_AST)
    return tree


def parsed(filename: str, source: str) -> ast.Expression:
    """Parses an expression, which may have several lines. Raises SyntaxError."""
    text = source.removeprefix("\ufeff").strip()
    if "\n" in text:
        text = f"({text}\n)"
    tree: ast.Expression = compiled(text, filename, "eval", ast.PyCF_ONLY_AST)
    return tree


def expression(filename: str, source: str, parameters: Sequence[str]) -> Callable[..., object]:
    """Returns an expression as a function of parameters. Raises SyntaxError."""
    tree = parsed(filename, source)
    taken = [ast.arg(name) for name in parameters]
    arguments = ast.arguments([], taken, None, [], [], None, [])
    function = ast.copy_location(ast.Lambda(arguments, tree.body), tree.body)
    code = compile(
        ast.fix_missing_locations(ast.Expression(function)), filename, "eval", dont_inherit=True
    )
    made: Callable[..., object] = eval(code, _namespace(tree, parameters))
    return made


def _namespace(tree: ast.AST, parameters: Sequence[str]) -> dict[str, Any]:
    """Returns the globals: modules that the expression names."""
    namespace: dict[str, Any] = {"__builtins__": builtins}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in sorted(names.difference(parameters)):
        if name in _MODULES or name in LIBRARIES or name in LIBRARIES.values():
            namespace[name] = importlib.import_module(LIBRARIES.get(name, name))
    return namespace
