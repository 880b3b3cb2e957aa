"""Which lines of files the inputs of fuzzers in Python reach: lines.py NAMES FILES FOLDER...

NAMES and FILES are separated by commas; the folders are of the fuzzers in turn. Prints for each
file how many lines ran and how many there are.
"""

from __future__ import annotations

import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

from fuzz_programs import Target, load

ran: dict[str, set[int]] = defaultdict(set)
files: set[str] = set()


def trace(frame: types.FrameType, event: str, _argument: object) -> Any:
    name = frame.f_code.co_filename
    if name not in files:
        return None
    if event == "line":
        ran[name].add(frame.f_lineno)
    return trace


def lines_of(code: types.CodeType) -> set[int]:
    """The lines of functions, without those that run at the import."""
    found: set[int] = set()
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= {line for _, _, line in each.co_lines() if line} - {each.co_firstlineno}
            found |= lines_of(each)
    return found


def main() -> None:
    names, paths, *folders = sys.argv[1:]
    loaded = {name: load(Target("python", name)) for name in names.split(",")}
    files.update(paths.split(","))
    sys.settrace(trace)
    for folder in folders:
        for path in sorted(Path(folder).iterdir()):
            loaded[Path(folder).name].one_input(path.read_bytes())
    sys.settrace(None)
    for name in sorted(files):
        whole = lines_of(compile(Path(name).read_text(), name, "exec"))
        print(name, len(ran[name] & whole), len(whole))


if __name__ == "__main__":
    main()
