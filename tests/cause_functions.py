"""Functions that fail in every way, which the tests of causes share."""

from __future__ import annotations

import udfvm


class Marked(Exception):
    pass


def ask(x: int) -> int:
    if x == 1:
        raise LookupError("not here")
    if x == 2:
        raise SystemExit(7)
    return x


@udfvm.udf(timeout=1.0, host_functions=[ask])
def fails(how: str) -> int:
    import os

    if how == "raise":
        raise KeyError("no such key")
    if how == "exit":
        os._exit(3)
    if how == "time":
        while True:
            pass
    return ask(1 if how == "host" else 2 if how == "quit" else 0)


@udfvm.udf(timeout=None)
def waits(x: int) -> int:
    while x:
        pass
    return x


@udfvm.aggregate(timeout=None)
class gathers:  # noqa: N801 - named as in SQL
    def __init__(self) -> None:
        self.rows = 0

    def step(self, x: int) -> None:
        if x < 0:
            raise ValueError("negative")
        self.rows += 1

    def finish(self) -> int:
        while self.rows == 1:
            pass
        return self.rows


@udfvm.table_function(columns={"i": int}, timeout=None)
def yields(n: int):  # type: ignore[no-untyped-def]
    while n:
        pass
    yield n
