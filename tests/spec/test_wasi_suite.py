"""The WASI testsuite behaves in micro-VMs as it describes itself.

``UDFVM_WASI_TESTSUITE`` names the folder: the branch ``prod/testsuite-all`` of
WebAssembly/wasi-testsuite. ``tests/functions/test_wasi.py`` has tests of our own.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wasi_suite import difference, programs

_FOLDER = os.environ.get("UDFVM_WASI_TESTSUITE", "")
_PROGRAMS = programs(Path(_FOLDER)) if _FOLDER else []
#: What wasmtime does otherwise, on every system.
_OF_WASMTIME = {
    "remove_directory_trailing_slashes": "Invalid argument",
    "sock_shutdown-invalid_fd": "EBADF",
}


@pytest.mark.skipif(not _PROGRAMS, reason="UDFVM_WASI_TESTSUITE names no folder of its commands")
@pytest.mark.parametrize("program", _PROGRAMS, ids=[each.stem for each in _PROGRAMS])
def test_program(program: Path) -> None:
    found, expected = difference(program), _OF_WASMTIME.get(program.stem)
    assert found is None if expected is None else expected in (found or "")
