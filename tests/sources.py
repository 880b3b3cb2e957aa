"""The project's own sources, and what still breaks a rule that all of them shall keep.

Exceptions stand in ``tests/project/exceptions.toml``, and become fewer: one that is not needed any
more is a failure too.
"""

from __future__ import annotations

import tomllib
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
    """How messages and exceptions call a file."""
    return path.relative_to(ROOT).as_posix()


def check(found: Iterable[str], rule: str) -> None:
    """Fails for what breaks the rule and is no exception, and for exceptions without need."""
    exceptions = set(
        tomllib.loads((ROOT / "tests/project/exceptions.toml").read_text()).get(rule, ())
    )
    broken = set(found)
    against = "".join(f"\n    {entry}" for entry in sorted(broken - exceptions))
    assert not against, f"{rule}:{against}"
    kept = "".join(f"\n    {entry}" for entry in sorted(exceptions - broken))
    assert not kept, f"{rule}: not needed any more in tests/project/exceptions.toml:{kept}"
