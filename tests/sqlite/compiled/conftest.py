"""What the tests of compiled functions in SQL share: the fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from compiled_functions import MODULE, SIGNATURES, SOURCE, WASM_SIGNATURES, compiled

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy


@pytest.fixture(scope="module")
def object_(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("compiled"), SOURCE)


@pytest.fixture(scope="module")
def connection(object_: bytes) -> Iterator[apsw.Connection]:
    """A database that holds every function; those in Wasm have names with a w."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True, row_timeout=0.5))
    for name, signature in SIGNATURES.items():
        connection.execute(
            "SELECT vm_create(?, 'native', ?, ?)", (name, object_, signature)
        ).fetchall()
    for name, signature in WASM_SIGNATURES.items():
        connection.execute(
            f"SELECT vm_create(?, 'wasm', ?, ?, 'entry={name}')", (f"w_{name}", MODULE, signature)
        ).fetchall()
    for name, source in (("calls", object_), ("w_calls", MODULE)):
        connection.execute(
            f"SELECT vm_create('{name}_row', ?, ?, '() -> int', 'isolation=row', 'entry=calls')",
            ("wasm" if name[0] == "w" else "native", source),
        ).fetchall()
    yield connection
    connection.close()
