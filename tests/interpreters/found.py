"""The CPythons of this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

FIRST = (3, 11)
PROGRAM = """
import json, sys, sysconfig
path = getattr(sys, "_base_executable", sys.executable)
gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([sys.implementation.name, sys.version_info[:3], path, gil]))
"""


class Interpreter(NamedTuple):
    """A CPython: its name, such as ``cpython-3.12.1``, and its executable."""

    name: str
    path: Path


def candidates() -> Iterator[Path]:
    """Yields programs that may be interpreters: those on the path, and those of pyenv."""
    yield Path(sys.executable)
    folders = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += [Path("/usr/bin"), Path("/usr/local/bin"), *pyenv.glob("versions/*/bin")]
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            if re.fullmatch(r"python3\.\d+", path.name):
                yield path


def described(path: Path) -> Interpreter | None:
    """Returns the interpreter that a program is; None if udfvm does not support it."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", PROGRAM], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or not done.stdout.startswith("["):
        return None
    name, version, executable, gil = json.loads(done.stdout)
    if name != "cpython" or tuple(version) < FIRST or not gil:
        return None
    return Interpreter(f"cpython-{'.'.join(map(str, version))}", Path(executable).resolve())


def find(paths: Iterable[Path] | None = None) -> list[Interpreter]:
    """Returns the interpreters of some programs, or those of this machine: each once, the oldest
    first. Of two that have one version, the second's name has a number.
    """
    found = {each.path: each for each in map(described, paths or candidates()) if each is not None}
    named: list[Interpreter] = []
    for each in sorted(
        found.values(), key=lambda each: [int(n) for n in re.findall(r"\d+", each.name)]
    ):
        same = sum(other.name.split("+")[0] == each.name for other in named)
        named.append(each._replace(name=f"{each.name}+{same}") if same else each)
    return named
