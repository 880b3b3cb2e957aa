"""What the tests of stored functions share: the fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from stored_functions import opened


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = opened(":memory:")
    yield connection
    connection.close()
