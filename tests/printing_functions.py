"""A function that prints and ends in every way."""

from __future__ import annotations

import pytest

import udfvm

Capture = pytest.CaptureFixture[str]


@udfvm.udf(timeout=2)
def prints(x: int) -> int:
    import ctypes
    import os
    import sys

    print("out", x)
    print("err", x, file=sys.stderr)
    if x >= 0:
        return x
    print("and then", end="")
    if x == -1:
        raise ValueError("minus one")
    while x == -2:
        pass
    if x == -3:
        ctypes.string_at(8)
    if x == -4:
        os._exit(4)
    if x == -5:
        sys.exit("leaving")
    if x == -6:
        os.abort()
    return x
