"""Functions of rows that the tests of SQLite share: the fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest
from row_functions import UDFS

import udfvm
import udfvm.sqlite


@pytest.fixture(scope="module")
def shared() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *UDFS)
    yield connection
    connection.close()


@pytest.fixture
def query(shared: apsw.Connection) -> Callable[..., list[tuple[Any, ...]]]:
    def run(sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        return shared.execute(sql, bindings).fetchall()

    return run
