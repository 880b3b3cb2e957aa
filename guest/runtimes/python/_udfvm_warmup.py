"""Warming up: runs the paths that a call takes, so that what is built on first use is in the
image.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from _udfvm_report import report

RUNS: Final = 16
SECONDS: Final = 0.05


def repeat(run: Callable[[], object]) -> None:
    """Runs something a few times, as long as that takes no time to speak of; once in any case."""
    until = time.monotonic() + SECONDS
    for _ in range(RUNS):
        run()
        if time.monotonic() > until:
            break


def warm_up_reports() -> None:
    """Makes ready what tracebacks need."""
    try:
        raise ValueError("warming up")
    except ValueError as exception:
        report(exception, 0)
