"""Benchmarks measure what users can have: public modules, and no private name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import ROOT

PUBLIC = {
    "udfvm",
    "udfvm.arrow",
    "udfvm.sqlite",
    "udfvm.vmm",  # the core's C interface
    "udfvm.cli.flights",  # the data of the demo
}
# How pyarrow's documentation makes an expression that calls a function; how a child ends.
DOCUMENTED = {"pc.Expression._call", "os._exit"}
SCRIPTS = sorted((ROOT / "bench").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of udfvm, and names that are imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in PUBLIC else node.module


def private(tree: ast.AST) -> Iterator[str]:
    """Attributes with an underscore of anything but ``self``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = node.value
            is_own = isinstance(owner, ast.Name) and owner.id == "self"
            if not is_own and ast.unparse(node) not in DOCUMENTED:
                yield f"{ast.unparse(node)}, line {node.lineno}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_benchmarks_use_what_is_public(script: Path) -> None:
    tree = ast.parse(script.read_text())
    ours = {name for name in imported(tree) if name.split(".")[0] == "udfvm"}
    assert ours <= PUBLIC, ours - PUBLIC
    assert not [name for name in private(tree) if "__" not in name]
