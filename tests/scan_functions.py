"""Functions for expressions of scans: one whose columns are numbers, one whose are not, and one
whose calls do not end at once when they are to.
"""

from __future__ import annotations

import threading
import time

import udfvm

waiting = threading.Event()


def wait_outside() -> None:
    waiting.set()
    time.sleep(2)


@udfvm.udf(timeout=40)
def number(x: int) -> int:
    while x == 0:
        pass
    if x == 1:
        raise ValueError("one")
    return x


@udfvm.udf(timeout=40, host_functions=[wait_outside])
def waits(x: int) -> int:
    wait_outside()
    while x == 0:
        pass
    return x


@udfvm.udf(timeout=40)
def text(x: str) -> str:
    while x == "0":
        pass
    if x == "1":
        raise ValueError("one")
    return x
