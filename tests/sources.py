"""The project's own sources, for the tests of rules that all of them keep."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("bench", "build_native", "docs", "examples", "guest", "tests", "udfvm")
GENERATED = ("_guest", "__pycache__", "node_modules")


def sources(*suffixes: str, folders: Iterable[str] = FOLDERS) -> list[Path]:
    """The files with these suffixes, also those that lie beside the folders."""
    found = [path for path in ROOT.iterdir() if path.suffix in suffixes]
    for folder in folders:
        found += [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    return sorted(path for path in found if not set(GENERATED) & set(path.parts))


def name(path: Path) -> str:
    """How messages call a file."""
    return path.relative_to(ROOT).as_posix()


def check(found: Iterable[str], rule: str) -> None:
    """Fails with all that breaks the rule."""
    broken = "".join(f"\n    {entry}" for entry in sorted(set(found)))
    assert not broken, f"{rule}:{broken}"
