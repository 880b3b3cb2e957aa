"""Functions in batches that the tests of SQLite share: the fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from batch_functions import UDFS, Query

import udfvm
import udfvm.sqlite


@pytest.fixture(scope="module")
def shared() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *UDFS)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(1, 6.0, 2.0), (2, 1, 0), (3, None, 1.0), (4, 9, 3)]
    )
    yield connection
    connection.close()


@pytest.fixture
def query(shared: apsw.Connection) -> Query:
    return Query(shared)
