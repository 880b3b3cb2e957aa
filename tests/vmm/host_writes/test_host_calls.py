"""Nothing is left of replies of host functions, and of files."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from host_write_functions import (
    MARK,
    TEXT,
    Stopped,
    fails,
    fetches,
    nothing_is_left,
    reads,
    spies,
    stopped_at_each_step,
)


# Stopped before the call is made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_host_functions() -> None:
    assert fetches("x") == 100 * len(MARK)
    assert stopped_at_each_step(lambda: fetches(TEXT), nothing_is_left) > 5
    for _ in range(3):
        with pytest.raises(Stopped):
            fails(TEXT)
        nothing_is_left()


def test_files() -> None:
    import this

    path, text = this.__file__, codecs.encode("Now is better than never.", "rot13").encode()
    assert path is not None and reads(path) == Path(path).stat().st_size
    hidden = bytes(byte ^ 0xFF for byte in text)

    def nothing_is_left(reach: int) -> None:
        assert spies(hidden, False, -1, reach) == 0

    assert stopped_at_each_step(lambda: reads(path), nothing_is_left) > 5
    assert spies(hidden, True) == 0
