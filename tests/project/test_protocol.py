"""The numbers of the protocol stand in the ABI header; Python has them from there."""

from __future__ import annotations

import ast
import re
import struct
import subprocess
import sys
from pathlib import Path

import cffi
import pytest
from sources import name, sources

from udfvm import layouts, protocol

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
# Windows, pages and vectors. Other numbers may well be where program memory begins.
ADDRESSES = {
    value
    for name, value in vars(protocol).items()
    if re.search("_(BASE|PAYLOAD|REPLY)$|^VECTOR_", name)
} - {protocol.KERNEL_BASE, protocol.PROGRAM_BASE}
HEADER = ROOT / "guest/include/udfvm_abi.h"
FORMATS = {"uint16_t": "H", "uint32_t": "I", "uint64_t": "Q", "int64_t": "q", "double": "d"}
GENERATED = {"guest/include/udfvm_abi.h", "udfvm/protocol.py"}


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


def test_no_other_file_has_an_address_of_the_protocol() -> None:
    assert {protocol.OUTPUT_BASE, protocol.VECTOR_COMPLETE, protocol.STREAM_REPLY} <= ADDRESSES
    for path in sources(".c", ".h", ".S", ".py"):
        numbers = re.findall(r"\b0x[\da-fA-F_]+", path.read_text())
        found = {number for number in numbers if int(number.rstrip("_"), 16) in ADDRESSES}
        assert not found or name(path) in GENERATED, f"{name(path)}: {found}"


def test_no_call_names_its_request_by_a_number() -> None:
    """By the names that the core and the binding give to calls and their VMs, and the extension to
    what it sends.
    """
    call = re.compile(
        r"\budfvm_vm_(?:\w+_)?(?:call|send|request)\([^,()]+,\s*\d"
        r"|\budfvm_pool_call\((?:[^,()]+,\s*){3}\d|\bvm\.call\(\s*\d|\.request = \d"
    )
    for found in (
        "vm.call(3, payload)",
        "udfvm_vm_call(vm, 3, NULL, 0)",
        "udfvm_vm_stream_send(session->vm, 3, NULL, 0)",
        "udfvm_pool_call(pool, layer, 0, 3, NULL, 0)",
        "exchange = { .request = 3 }",
    ):
        assert call.search(found)
    for path in sources(".c", ".h", ".py"):
        if path != Path(__file__):
            assert not call.search(path.read_text()), name(path)


@pytest.mark.parametrize(
    ("layout", "structure"),
    [
        (layouts.ROW, "row"),
        (layouts.COLUMNS, "columns"),
        (layouts.COLUMN, "column"),
        (layouts.FETCH, "fetch"),
        (layouts.AGGREGATE, "aggregate"),
        (layouts.GUEST_ERROR, "guest_error"),
        (layouts.INTEGER, "value.integer"),
        (layouts.REAL, "value.real"),
        (layouts.VALUE, "value.offset"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layouts_are_the_structures_of_the_header(layout: struct.Struct, structure: str) -> None:
    """A structure with a union is named with the member that the layout has."""
    structure, _, member = structure.partition(".")
    text = re.search(
        rf"^struct udfvm_{structure} {{.*?^}};", HEADER.read_text(), re.MULTILINE | re.DOTALL
    )
    assert text
    ffi = cffi.FFI()
    ffi.cdef(text[0])
    formats = {}  # by offset
    for own, field in ffi.typeof(f"struct udfvm_{structure}").fields:
        if field.offset not in formats or own == member:
            formats[field.offset] = FORMATS[field.type.cname]
    assert layout.format == "<" + "".join(formats[offset] for offset in sorted(formats))
    assert layout.size == ffi.sizeof(f"struct udfvm_{structure}")


def test_layouts_have_a_test() -> None:
    tested = test_layouts_are_the_structures_of_the_header.pytestmark[0].args[1]  # type: ignore[attr-defined]
    defined = [value for value in vars(layouts).values() if isinstance(value, struct.Struct)]
    assert {id(layout) for layout, _ in tested} == {id(layout) for layout in defined}
