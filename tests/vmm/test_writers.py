"""The code that writes in guest memory is known: nothing else has a pointer to write with."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for pattern in ("*.[ch]", "*.py")
    for path in (ROOT / "udfvm").rglob(pattern)
    if not path.name.startswith("_core") and "_guest" not in path.parts
]
MACHINE = ROOT / "udfvm" / "vmm" / "core" / "machine" / "machine.c"
SPAN = ROOT / "udfvm" / "vmm" / "core" / "memory" / "span.c"
# which gives the embedder its pointers
WINDOWS = ROOT / "udfvm" / "vmm" / "core" / "call" / "windows.c"


def test_the_list_of_writers_is_complete() -> None:
    asks = re.compile(
        r"\b(?:udfvm_span_(?:at|piece|write|call_page|send|input|borrow|output)|udfvm_machine_load"
        r"|udfvm_vm_(?:input|borrow)|udfvm_pool_borrow)\([^)]"
    )
    headers = {path for path in SOURCES if path.suffix == ".h"}
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path not in headers | {SPAN, MACHINE, WINDOWS} and asks.search(path.read_text())
    }
    section = (
        (ROOT / "docs" / "security.md")
        .read_text()
        .split("## Who writes in guest memory")[1]
        .split("\n## ")[0]
    )
    assert found == set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


def test_nothing_else_has_a_pointer_to_write_with() -> None:
    """The compiler refuses to take a const away, but for the detour through an integer."""
    machine = re.search(
        r"^struct machine \{.*?^\};",
        (ROOT / "udfvm" / "vmm" / "core" / "machine" / "machine.h").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    assert machine is not None
    for name in ("memory", "output", "unlogged", "input"):
        assert re.search(rf"const uint8_t \*{name};", machine[0])
    assert "const_flags = ['-Wcast-qual']\n" in (ROOT / "meson.build").read_text()
    for folder in ("udfvm/vmm/core", "udfvm/sqlite/src", "udfvm/call"):
        flags = re.findall(r"c_args: \[(.*)\]", (ROOT / folder / "meson.build").read_text())
        assert flags and all("const_flags" in found for found in flags)
    detours = {}
    for path in SOURCES:
        if path.suffix == ".c" and (
            lines := re.findall(
                r"\((?!const)[^()]*\*\) *\((?:uintptr_t|uint64_t|size_t)\).*", path.read_text()
            )
        ):
            detours[path.name] = lines
    detours.pop("call_target.c")  # addresses of the core's objects, which Python has as numbers
    # span.c: the way to write; machine.c, image.c, holes.c: mappings, which are made and unmapped,
    # and the host's own system area; image_write.c: what pwritev(2) reads; fast_path.c and
    # pool_call.c: parts of a request, which are read; column_calls.c: a scan's end, which is looked
    # at; renew.c: windows of another process, which take the place of those that were there
    assert {name: len(lines) for name, lines in detours.items()} == {
        "span.c": 1,
        "machine.c": 6,
        "image.c": 1,
        "holes.c": 1,
        "image_write.c": 2,
        "fast_path.c": 1,
        "column_calls.c": 1,
        "pool_call.c": 1,
        "renew.c": 2,
    }


def test_python_views_guest_memory_in_known_places() -> None:
    """``ffi.buffer`` gives views that can be written to, whatever they show."""
    found: set[str] = set()
    for path in (path for path in SOURCES if path.suffix == ".py"):
        for function in (
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
        ):
            body = ast.unparse(function)
            views = re.findall(r"(\w+)?\(?ffi\.buffer\(([^()]*)\)\)?(\.toreadonly\(\))?", body)
            if any(
                before not in ("bytes", "visible", "copied") and not readonly
                for before, _, readonly in views
            ):
                found.add(function.name)
    assert found == {
        "input", "borrow",                                    # marked by the core
        # called by the core with memory that is marked
        "udfvm_python_read", "udfvm_python_list",
        "_taken_reply",                                       # the host's own memory
    }  # fmt: skip
