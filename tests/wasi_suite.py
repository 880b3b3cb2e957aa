"""Runs the WASI testsuite (github.com/WebAssembly/wasi-testsuite): commands, each with a
description beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

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


class Described(NamedTuple):
    """How a program runs, and what it does."""

    args: list[str]
    env: dict[str, str]
    root: dict[str, bytes]
    writable: bool
    status: int
    stdout: str | None


def _operations(described: dict[str, Any]) -> dict[str, Any]:
    """A description by operations as one of the older form, which is one run of a program."""
    merged: dict[str, Any] = {}
    for operation in described["operations"]:
        kind = operation["type"]
        if kind in ("run", "wait"):
            merged |= {name: value for name, value in operation.items() if name != "type"}
        elif kind == "read":
            merged[operation.get("id", "stdout")] = operation.get("payload", "")
        else:
            raise ValueError(f"preview 1 has no operation {kind}")
    return merged


def description(program: Path) -> Described:
    """Reads the description beside a program. Its files are those of a folder ``root``, which is
    the root, or of ``dirs``, which have their names below it.
    """
    path = program.with_suffix(".json")
    described: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if "operations" in described:
        described = _operations(described)
    arguments, root = list(described.get("args", [])), {}
    for folder in described.get("dirs", []):
        # A folder that an argument names must be one that is opened ahead.
        root |= _files(program.parent / folder, "" if folder in arguments else f"{folder}/")
        arguments = ["/" if each == folder else each for each in arguments]
    if described.get("root"):
        root |= _files(program.parent / described["root"], "")
    return Described(
        arguments,
        described.get("env", {}),
        root,
        bool(described.get("dirs") or described.get("root")),
        described.get("exit_code", 0),
        described.get("stdout"),
    )


def difference(program: Path) -> str | None:
    """What a command does otherwise than its description says; None for nothing."""
    described = description(program)
    run = udfvm.from_wasm(
        program,
        "_start",
        name="run",
        signature="() -> blob",
        args=[program.stem, *described.args],
        env=described.env,
        root=described.root,
        writable=described.writable,
    )
    status, written = 0, b""
    try:
        written = run()  # type: ignore[assignment]
    except udfvm.UDFError as error:
        _, _, rest = str(error).partition("exit status ")
        if not rest:
            return str(error)
        status = int(rest.split()[0])
    if status != described.status:
        return f"exit status {status}"
    return None if described.stdout in (None, written.decode()) else f"it wrote {written!r}"
