"""Runs the WASI testsuite (github.com/WebAssembly/wasi-testsuite): commands, each with a
description beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import udfvm


def programs(folder: Path) -> list[Path]:
    """The commands of preview 1 below a folder; those of proposals need what they propose."""
    return sorted(
        path
        for path in folder.rglob("*.wasm")
        if "wasm32-wasip1" in path.parts or "wasm32-wasip1" in path.parent.name
    )


def _files(folder: Path, prefix: str) -> dict[str, bytes]:
    return {
        f"{prefix}{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def difference(program: Path) -> str | None:
    """What a command does otherwise than its description says; None for nothing."""
    path = program.with_suffix(".json")
    described: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    arguments, root = list(described.get("args", [])), {}
    for folder in described.get("dirs", []):
        # A folder that an argument names must be one that is opened ahead.
        root |= _files(program.parent / folder, "" if folder in arguments else f"{folder}/")
        arguments = ["/" if each == folder else each for each in arguments]
    run = udfvm.from_wasm(
        program,
        "_start",
        name="run",
        signature="() -> blob",
        args=[program.stem, *arguments],
        env=described.get("env", {}),
        root=root,
        writable=bool(described.get("dirs")),
    )
    status, written = 0, b""
    try:
        written = run()  # type: ignore[assignment]
    except udfvm.UDFError as error:
        _, _, rest = str(error).partition("exit status ")
        if not rest:
            return str(error)
        status = int(rest.split()[0])
    if status != described.get("exit_code", 0):
        return f"exit status {status}"
    expected = described.get("stdout")
    return None if expected in (None, written.decode()) else f"it wrote {written!r}"
