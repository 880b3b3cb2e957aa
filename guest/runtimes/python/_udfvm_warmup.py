"""Warming up: it runs the code that calls use, so that the image has what is built on first use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from _udfvm_report import report

RUNS = 16  # 1, where there is no image
SECONDS: Final = 0.05


def repeat(run: Callable[[], object]) -> None:
    """Runs something once, and some more times if that is quick."""
    until = time.monotonic() + SECONDS
    for _ in range(RUNS):
        run()
        if time.monotonic() > until:
            break


class SampleError(Exception):
    """The function failed in the call with its sample; the cause says how."""


def repeat_sample(run: Callable[[], object]) -> None:
    """Does what `repeat` does with the call of a sample. Raises SampleError."""
    try:
        repeat(run)
    except BaseException as exception:
        raise SampleError from exception


def warm_up_reports() -> None:
    """Prepares what tracebacks need."""
    try:
        raise ValueError("warming up")
    except ValueError as exception:
        report(exception, 0)
