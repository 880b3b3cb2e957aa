"""Warming up: it runs the code that calls use, so that the image has what is built on first use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from _udfvm_report import report

RUNS: Final = 16
SECONDS: Final = 0.05


def repeat(run: Callable[[], object]) -> None:
    """Runs something once, and some more times if that is quick."""
    until = time.monotonic() + SECONDS
    for _ in range(RUNS):
        run()
        if time.monotonic() > until:
            break


def warm_up_reports() -> None:
    """Prepares what tracebacks need."""
    try:
        raise ValueError("warming up")
    except ValueError as exception:
        report(exception, 0)
