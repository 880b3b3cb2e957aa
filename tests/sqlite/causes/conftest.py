"""What the tests of causes share: the fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from cause_functions import fails, gathers, waits, yields

import udfvm
from udfvm.functions.scalar import ScalarFunction


@pytest.fixture(scope="module")
def functions() -> list[ScalarFunction]:
    return [fails, waits, gathers, yields]


@pytest.fixture
def connection(functions: list[ScalarFunction]) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions, policy=udfvm.sqlite.Policy(allow_create=True))
    yield connection
    connection.close()
