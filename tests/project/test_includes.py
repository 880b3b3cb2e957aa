"""C includes what its layer may know of: the core itself and the ABI, the extension and the fast
path the interface of the core and the ABI besides. The ABI has checks of its texts and columns, and
the fast path and the Python runtime have one declaration of Arrow's arrays.

What the guest kernel and the runtimes include is checked in tests/guest.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import ROOT, check, name, sources

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<][^">]+[">])', re.MULTILINE)
ABI = ROOT / "guest" / "include" / "udfvm_abi.h"
FORMATS = {ABI.with_name("utf8.h"), ABI.with_name("column_format.h")}  # checks of the ABI's data
SIZES = ABI.with_name("size_text.h")  # how both sides write sizes
SIGNALS = ABI.with_name("signal_names.h")  # and name signals
ARRAYS = ABI.with_name("arrow_c_data.h")  # how pyarrow hands out arrays, on both sides
CORE = ROOT / "udfvm" / "vmm" / "core"
API = CORE / "api.h"
GENERATED = {"sql_type_names.h"}  # by the build, from files of this layer
# What the files of a folder may include besides each other.
LAYERS = {
    "udfvm/vmm/core": {ABI, SIZES, SIGNALS},
    "udfvm/sqlite/src": {ABI, API, *FORMATS},
    "udfvm/call": {ABI, API, ARRAYS},
    "udfvm/load": set(),
    "udfvm/functions": {ROOT / "udfvm/call/column_calls.h"},  # Arrow's kernels, in C++
}


def included(path: Path, root: Path, others: set[Path]) -> list[Path]:
    """The files that this one includes: by their place in the layer, or beside it."""
    found = []
    for header in INCLUDE.findall(path.read_text()):
        if header.startswith('"') and header[1:-1] not in GENERATED:
            candidates = [root / header[1:-1], path.parent / header[1:-1]]
            candidates += [other for other in others if other.name == header[1:-1]]
            resolved = [candidate for candidate in candidates if candidate.is_file()]
            assert resolved, f"{name(path)} includes {header}, which is nowhere in its layer"
            found.append(resolved[0].resolve())
    return found


@pytest.mark.parametrize("folder", LAYERS)
def test_a_layer_includes_itself_and_what_is_below(folder: str) -> None:
    root, others = ROOT / folder, LAYERS[folder]
    paths = sources(".c", ".cpp", ".h", ".S", folders=[folder])
    paths = [path for path in paths if path.is_relative_to(root)]
    assert paths
    for path in paths:
        for header in included(path, root, others):
            assert header.is_relative_to(root) or header in others, (
                f"{name(path)} includes {name(header)}"
            )


def test_folders_of_the_extension_point_one_way() -> None:
    """Each includes itself and those before it."""
    root = ROOT / "udfvm/sqlite/src"
    order = ["connection", "wire", "statement", "sql", "functions", "entry"]
    assert {path.name for path in root.iterdir() if path.is_dir()} == set(order)
    for path in sources(".c", ".h", folders=["udfvm/sqlite/src"]):
        folder = path.relative_to(root).parts[0]
        for header in included(path, root, {ABI, API, *FORMATS}):
            if header.is_relative_to(root) and header.parent != root:
                inner = header.relative_to(root).parts[0]
                assert order.index(inner) <= order.index(folder), (
                    f"{name(path)} includes {name(header)}"
                )


@pytest.mark.parametrize("header", [ABI, API], ids=["abi", "api"])
def test_an_interface_stands_alone(header: Path) -> None:
    assert [found for found in INCLUDE.findall(header.read_text()) if found.startswith('"')] == []


def systems(folder: str) -> dict[str, set[str]]:
    """The headers of the system and of libraries that each file of a folder includes."""
    return {
        name(path): {found[1:-1] for found in INCLUDE.findall(path.read_text()) if found[0] == "<"}
        for path in sources(".c", ".h", ".S", folders=[folder])
    }


def test_headers_of_the_project_are_included_by_quotes() -> None:
    """The checks here look at those."""
    roots = [ROOT / folder for folder in (*LAYERS, "guest/include", "guest/kernel")]
    for folder in ("udfvm", "guest/kernel"):
        for path, found in systems(folder).items():
            own = [header for header in found for root in roots if (root / header).is_file()]
            assert not own, path


@pytest.mark.parametrize("folder", ["udfvm/vmm/core", "udfvm/sqlite/src"])
def test_no_python(folder: str) -> None:
    """Programs without Python use the core and the extension."""
    assert [path for path, found in systems(folder).items() if "Python.h" in found] == []


def test_the_core_knows_no_database() -> None:
    for path, found in systems("udfvm/vmm/core").items():
        assert not any("sqlite" in header for header in found), path


def test_one_folder_knows_kvm() -> None:
    """Another hypervisor has a place beside ``kvm``: hypervisor.h says what it must offer."""
    names = re.compile(r'\bKVM_[A-Z]|\bkvm_(?!api_version)|linux/kvm\.h|\bkvm/|"/dev/kvm')
    outside = {
        name(path)
        for path in sources(".c", ".h", ".S", folders=["udfvm"])
        if not path.is_relative_to(CORE / "kvm") and names.search(path.read_text())
    }
    outside -= {"udfvm/vmm/core/hypervisor.h"}  # which names the folder, in a comment
    opened = re.compile(r"""["']/dev/kvm["']""")  # texts for users name it among other words
    python = sources(".py", folders=["udfvm"])
    outside |= {name(path) for path in python if opened.search(path.read_text())}
    outside -= {"udfvm/cli/deep/vcpu.py"}  # which looks from outside whether KVM does its part
    outside -= {"udfvm/cli/kvm_fixes.py"}  # whose text for a device plugin is JSON
    assert "kvm/" not in "".join(included_names(CORE / "hypervisor.h"))
    check(outside, "KVM outside its folder")


JAIL = ROOT / "udfvm" / "vmm" / "jail"


def test_the_jail_program_is_above_the_core() -> None:
    """It includes of the core what it serves and how, and no pools; the core nothing of it."""
    paths = list(sources(".c", ".h", folders=["udfvm/vmm/jail"]))
    assert paths
    for path in paths:
        for header in included(path, CORE, {ABI}):
            inner = header.relative_to(CORE).parts[0] if header.is_relative_to(CORE) else ""
            assert (
                header.parent == JAIL
                or header == ABI
                or inner
                in (
                    *("base", "memory", "call", "jail"),
                    *CORE_HEADERS,
                )
            ), f"{name(path)} includes {name(header)}"


def included_names(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


# What each folder of the core may include from, besides itself. The headers beside them are below
# all, but hypervisor.h is below what runs VMs alone.
CORE_FOLDERS = {
    "base": [],
    "kvm": ["base"],
    "machine": ["base"],
    "image": ["base", "machine"],
    "memory": ["base", "machine", "image"],
    "call": ["base", "machine", "image", "memory"],
    "jail": ["base", "machine", "image", "memory", "call"],
    "in_process": ["base", "machine", "image", "memory", "call"],
    "pool": ["base", "machine", "image", "memory", "call", "jail", "in_process"],
}
CORE_HEADERS = {"api.h", "hypervisor.h"}


def test_folders_of_the_core_point_one_way() -> None:
    assert {path.name for path in CORE.iterdir() if path.is_dir()} == set(CORE_FOLDERS)
    assert {path.name for path in CORE.glob("*.[hc]")} == CORE_HEADERS
    for path in sources(".c", ".h", ".S", folders=["udfvm/vmm/core"]):
        folder = path.relative_to(CORE).parts[0]
        for header in included(path, CORE, {ABI, SIZES, SIGNALS}):
            if header.is_relative_to(CORE) and header.parent != CORE:
                inner = header.relative_to(CORE).parts[0]
                assert inner in [folder, *CORE_FOLDERS.get(folder, [])], (
                    f"{name(path)} includes {name(header)}"
                )
            elif header.name == "hypervisor.h":
                assert folder != "base", name(path)
