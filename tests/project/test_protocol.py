"""The numbers of the protocol stand in the ABI header; Python has them from there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from udfvm import protocol

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("udfvm", "guest/runtimes/python")
    for path in (ROOT / folder).rglob("*.py")
    if "_guest" not in path.parts and path.name != "protocol.py"
]
NAMES = {
    name for name in vars(protocol) if re.match(r"(REQUEST|STATUS|STORAGE|ANSWER|TYPE|MAX)_", name)
}


def test_the_module_is_the_one_that_the_header_gives() -> None:
    before = Path(protocol.__file__).read_text()
    script = "from build_native.protocol import *; print(module(HEADER.read_text()), end='')"
    command = [sys.executable, "-c", script]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert before == made, "run python -m build_native.protocol"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_defines_a_number_of_the_protocol(path: Path) -> None:
    defined = []
    for node in ast.walk(ast.parse(path.read_text())):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        value = getattr(node, "value", None)
        for target in targets:
            name = getattr(target, "id", "").lstrip("_")
            if name in NAMES and isinstance(value, ast.Constant):
                defined.append(f"{path.name}:{node.lineno}: {name}")
    assert not defined
