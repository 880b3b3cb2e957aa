"""Functions for expressions of scans: one whose columns are numbers, and one whose are not."""

from __future__ import annotations

import udfvm


@udfvm.udf(timeout=40)
def number(x: int) -> int:
    while x == 0:
        pass
    if x == 1:
        raise ValueError("one")
    return x


@udfvm.udf(timeout=40)
def text(x: str) -> str:
    while x == "0":
        pass
    if x == "1":
        raise ValueError("one")
    return x
