"""Each test begins without calls of host functions."""

from __future__ import annotations

import pytest
from shared_host_functions import seen


@pytest.fixture(autouse=True)
def no_calls_seen() -> None:
    seen.clear()
