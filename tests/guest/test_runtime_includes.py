"""The direction of the guest's runtimes: which folder may include which, and modules of the Python
runtime without circles.
"""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

RUNTIMES = Path(__file__).parents[2] / "guest" / "runtimes"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# What each folder may include, beside itself and guest/include.
BELOW = {
    "arrow": set(),
    "shared": {"arrow"},
    "shared/allocator": set(),
    "shared/compiled": {"arrow", "shared"},
    "python": {"arrow", "shared"},
    "python/in_process": {"arrow", "shared", "python"},
    "native": {"arrow", "shared", "shared/compiled"},
    "wasm": {"arrow", "shared", "shared/compiled"},
}
# Of guest/include, and what lies beside udfvm.h on every machine.
PUBLIC = {
    "udfvm_groups.h",
    "udfvm_table.h",
    "udfvm_abi.h",
    "arrow_c_data.h",
    "column_format.h",
    "elf_format.h",
    "initial_stack.h",
    "signal_names.h",
    "size_text.h",
    "utf8.h",
}


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in {".c", ".h", ".S"})


def wrong_includes(root: Path) -> list[str]:
    """Includes against the direction, and those that are not written from the runtimes' root."""
    wrong = []
    for path in sources(root):
        folder = path.parent.relative_to(root).as_posix()
        allowed = {folder, *BELOW.get(folder, set())}
        for name in INCLUDE.findall(path.read_text()):
            if name in PUBLIC:
                continue
            if Path(name).parent.as_posix() not in allowed or not (root / name).is_file():
                wrong.append(f"{path.relative_to(root)} includes {name}")
    return wrong


def test_every_folder_has_a_direction() -> None:
    assert {path.parent.relative_to(RUNTIMES).as_posix() for path in sources(RUNTIMES)} == set(
        BELOW
    )


def test_includes_lead_downwards() -> None:
    assert wrong_includes(RUNTIMES) == []


@pytest.mark.parametrize(
    ("path", "included"),
    [
        ("wasm/a.c", "native/b.h"),
        ("python/a.c", "shared/compiled/b.h"),
        ("arrow/a.h", "shared/b.h"),
        ("shared/a.c", "wasm/b.h"),
        ("native/a.c", "../kernel/mm/b.h"),
        ("native/a.c", "b.h"),
    ],
)
def test_wrong_includes_are_found(tmp_path: Path, path: str, included: str) -> None:
    for name in (path, included):
        file = tmp_path / "runtimes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (tmp_path / "runtimes" / path).write_text(f'#include <stdint.h>\n#include "{included}"\n')
    assert wrong_includes(tmp_path / "runtimes") == [f"{path} includes {included}"]


def imports(path: Path) -> set[str]:
    """Modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # of importlib.import_module()
    return found


def test_python_modules_have_no_circle() -> None:
    modules = {path.stem: path for path in sorted((RUNTIMES / "python").glob("*.py"))}
    graph = {name: imports(path) & modules.keys() for name, path in modules.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)
