"""What the tests of the shell share."""

from __future__ import annotations

from collections.abc import Callable

SOURCE = """
import udfvm

@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100

@udfvm.udf(deterministic=True)
def shout(text: str) -> str:
    return text.upper()

_seen = []

@udfvm.udf(isolation="row")
def alone(value: int) -> int:
    _seen.append(value)
    return len(_seen)

@udfvm.udf
def count(value: int) -> int:
    _seen.append(value)
    return len(_seen)

@udfvm.udf(timeout=0.3)
def endless(value: int) -> int:
    while True:
        pass

@udfvm.udf
def noisy(value: int) -> int:
    print("said\x1b", value)
    return value

@udfvm.udf
def picky(value: int) -> int:
    if value == 50:
        raise ValueError("fifty")
    return value
"""


Shell = Callable[..., str]
