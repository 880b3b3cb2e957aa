"""Objects that this checkout's own build has compiled, for a build of the same sources elsewhere:
compiling everything once more takes half a minute of a processor.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ninja
from sources import ROOT

BUILD = ROOT / "build" / "native" / f"{sys.implementation.cache_tag}-plain"
GCC = """\
#!/bin/sh
# Takes an object that was compiled of the same files by the same command; else compiles.
for word; do
    [ "$before" = -o ] && object=$word
    before=$word
done
if [ -f "{commands}/$object" ] && read -r command <"{commands}/$object" && [ "$command" = "$*" ]
then
    exec cp "{build}/$object" "$object"
fi
exec {gcc} "$@"
"""


def _read_by_objects() -> Iterator[tuple[str, list[Path]]]:
    """Each object of the build, and all files that its compiler read."""
    command = [Path(ninja.BIN_DIR) / "ninja", "-C", BUILD, "-t", "deps"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for paragraph in done.stdout.split("\n\n"):
        first, *files = paragraph.splitlines() or [""]
        if first.endswith("(VALID)"):
            yield first.partition(": #deps")[0], [BUILD / file.strip() for file in files]


def _is_of(source: Path, compiled: Path, file: Path) -> bool:
    """Whether an object is made of a file as it is now, and as it is in the other sources."""
    file = file.resolve()
    if not file.exists() or file.stat().st_mtime_ns > compiled.stat().st_mtime_ns:
        return False
    if not file.is_relative_to(ROOT):
        return True
    other = source / file.relative_to(ROOT)
    return other.exists() and other.read_bytes() == file.read_bytes()


def offer(source: Path, folder: Path) -> Path:
    """Returns a folder with a ``gcc`` that takes what was compiled of the same files as ``source``
    has, by the same commands. It compiles everything else, such as files that were generated.
    """
    commands, gcc = folder / "commands", folder / "gcc"
    commands.mkdir(parents=True)
    listed = BUILD / "compile_commands.json"
    entries = json.loads(listed.read_text()) if listed.exists() else []
    flags = {entry["output"]: shlex.split(entry["command"])[1:] for entry in entries}
    for name, files in _read_by_objects() if flags else ():
        compiled = BUILD / name
        if name in flags and all(_is_of(source, compiled, file) for file in files):
            (commands / name).parent.mkdir(parents=True, exist_ok=True)
            words = " ".join(flags[name]).replace(str(ROOT), str(source))
            (commands / name).write_text(words + "\n")
    gcc.write_text(GCC.format(commands=commands, build=BUILD, gcc=shutil.which("gcc")))
    gcc.chmod(0o755)
    return folder
