"""The WASI testsuite behaves in micro-VMs as it describes itself.

``UDFVM_WASI_TESTSUITE`` names the folder: the branch ``prod/testsuite-base``, or
``prod/testsuite-all``, of WebAssembly/wasi-testsuite. ``tests/functions/test_wasi.py`` has tests of
our own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from wasi_suite import Described, description, difference, programs

_FOLDER = os.environ.get("UDFVM_WASI_TESTSUITE", "")
_PROGRAMS = programs(Path(_FOLDER)) if _FOLDER else []
#: What wasmtime does otherwise, on every system.
_OF_WASMTIME = {
    "remove_directory_trailing_slashes": "Invalid argument",
    "sock_shutdown-invalid_fd": "EBADF",
}
#: Of these, what newer versions of the suite allow.
_ALLOWED = ("remove_directory_trailing_slashes",)
_EXITS = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 33))))"""


@pytest.mark.skipif(not _PROGRAMS, reason="UDFVM_WASI_TESTSUITE names no folder of its commands")
@pytest.mark.parametrize("program", _PROGRAMS, ids=[each.stem for each in _PROGRAMS])
def test_program(program: Path) -> None:
    found, expected = difference(program), _OF_WASMTIME.get(program.stem)
    if expected is None or (found is None and program.stem in _ALLOWED):
        assert found is None
    else:
        assert expected in (found or "")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, Described([], {}, {}, False, 0, None)),
        (
            {"dirs": ["files"], "args": ["files", "-v"], "exit_code": 2},
            Described(["/", "-v"], {}, {"in": b"1"}, True, 2, None),
        ),
        ({"dirs": ["files"]}, Described([], {}, {"files/in": b"1"}, True, 0, None)),
        (
            {"root": "files", "env": {"A": "b"}, "stdout": "1"},
            Described([], {"A": "b"}, {"in": b"1"}, True, 0, "1"),
        ),
        (
            {
                "operations": [
                    {"type": "run", "args": ["a"], "root": "files"},
                    {"type": "read", "payload": "1"},
                    {"type": "wait", "exit_code": 3},
                ]
            },
            Described(["a"], {}, {"in": b"1"}, True, 3, "1"),
        ),
    ],
)
def test_descriptions(tmp_path: Path, written: dict[str, Any], expected: Described) -> None:
    """The suite had folders by name, then a root; newer descriptions are a list of operations."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "in").write_bytes(b"1")
    (tmp_path / "program.json").write_text(json.dumps(written))
    assert description(tmp_path / "program.wasm") == expected


def test_a_program_that_differs_from_its_description(tmp_path: Path) -> None:
    program = tmp_path / "wasm32-wasip1" / "exits.wasm"
    program.parent.mkdir()
    program.write_text(_EXITS)
    assert programs(tmp_path) == [program]
    assert difference(program) == "exit status 33"
    program.with_suffix(".json").write_text('{"exit_code": 33}')
    assert difference(program) is None
