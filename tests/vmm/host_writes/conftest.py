"""After each test the mark is nowhere in guest memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from host_write_functions import HIDDEN, spies


@pytest.fixture(autouse=True)
def nothing_is_left_anywhere() -> Iterator[None]:
    """After the test the mark is nowhere, and the spy still finds what is there."""
    spies(HIDDEN, False)
    yield
    gc.collect()
    assert spies(HIDDEN, True) == 0
    assert spies(bytes(byte ^ 0xFF for byte in b"udfvm_agent"), True) > 0
