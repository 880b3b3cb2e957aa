"""Environments whose programs find udfvm's plugins, as if this checkout were installed."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from sources import ROOT

#: The files that ``docs/engines.md`` shows, by name.
DOCUMENTED = dict(
    re.findall(
        r'^```\w+ title="([\w.]+)"\n(.*?)^```',
        (ROOT / "docs" / "engines.md").read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
)
MODULE = f"""{DOCUMENTED["functions.py"]}

@udfvm.udf(timeout=None)
def endless(value: int) -> int:
    while value:
        pass
    return value


@udfvm.udf
def picky(value: int) -> int:
    if value >= 3:
        raise ValueError(f"{{value}} is too much")
    return value


half = 0.5
"""


def environment_with_plugins(folder: Path) -> dict[str, str]:
    """The environment, with the entry points of ``pyproject.toml`` in a folder on the path, where
    the installed package may have older ones.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    described = folder / "udfvm_plugins-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: udfvm-plugins\nVersion: 1\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
        for group, points in project["entry-points"].items()
    )
    (described / "entry_points.txt").write_text("\n".join(groups))
    path = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
