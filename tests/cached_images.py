"""A program that fills an image cache, and what the tests of the cache do with its files."""

from __future__ import annotations

import os
from pathlib import Path

import udfvm

PROGRAM = """
    import udfvm

    @udfvm.udf(packages=[])
    def double(x: int) -> int:
        return 2 * x

    print(double(21))
"""


def double(x: int) -> int:
    return 2 * x


def call() -> int:
    return int(udfvm.udf(packages=[])(double)(21))


def the(directory: Path, suffix: str) -> Path:
    (path,) = directory.glob(f"*{suffix}")
    return path


def used_at(path: Path, when: float) -> None:
    """Sets the time of the last use of an image, and of its note."""
    note = path.with_name(f"{path.name}.verified")
    for file in (path, note):
        if file.exists():
            os.utime(file, (when, when))
