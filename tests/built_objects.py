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
import pyarrow as pa
from sources import ROOT

BUILD = ROOT / "build" / "native" / f"{sys.implementation.cache_tag}-plain"
ARROW = pa.get_include()
COMPILER = """\
#!/bin/sh
# Takes an object that was compiled of the same files by the same command; else compiles. Another
# pyarrow may have the same headers.
words=$*
for word; do
    case $word in
    -isystem*/pyarrow/include)
        diff -rq "${{word#-isystem}}" "{arrow}" >/dev/null &&
            words=$(echo "$words" | sed "s|$word|-isystem{arrow}|") ;;
    esac
    [ "$before" = -o ] && object=$word
    before=$word
done
if [ -f "{commands}/$object" ] && read -r command <"{commands}/$object" && [ "$command" = "$words" ]
then
    exec cp "{build}/$object" "$object"
fi
exec {compiler} "$@"
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
    if file.is_relative_to(ARROW) or "-unity" in file.name:  # which names others of them
        return True
    file = file.resolve()
    if not file.exists() or file.stat().st_mtime_ns > compiled.stat().st_mtime_ns:
        return False
    if not file.is_relative_to(ROOT):
        return True
    other = source / file.relative_to(ROOT)
    return other.exists() and other.read_bytes() == file.read_bytes()


def offer(source: Path, folder: Path) -> Path:
    """Returns a folder with compilers that take what was compiled of the same files as ``source``
    has, by the same commands. They compile everything else, such as files that were generated.
    """
    commands = folder / "commands"
    commands.mkdir(parents=True)
    listed = BUILD / "compile_commands.json"
    entries = json.loads(listed.read_text()) if listed.exists() else []
    flags = {entry["output"]: shlex.split(entry["command"])[1:] for entry in entries}
    for name, files in _read_by_objects() if flags else ():
        compiled = BUILD / name
        if name in flags and all(_is_of(source, compiled, file) for file in files):
            (commands / name).parent.mkdir(parents=True, exist_ok=True)
            words = " ".join(flags[name]).replace(str(ROOT), str(source))
            words = words.replace(
                f"-isystem{source}{ARROW.removeprefix(str(ROOT))}", f"-isystem{ARROW}"
            )
            (commands / name).write_text(words + "\n")
    for name in filter(shutil.which, ("gcc", "c++")):
        compiler, path = folder / name, shutil.which(name)
        text = COMPILER.format(commands=commands, build=BUILD, compiler=path, arrow=ARROW)
        compiler.write_text(text)
        compiler.chmod(0o755)
    return folder
