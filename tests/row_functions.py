"""Functions of rows that the tests of SQLite share."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.protocol import OUTPUT_BASE, VECTOR_COMPLETE

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) "


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf
def same_int(value: int) -> int:
    return value


@udfvm.udf
def same_float(value: float) -> float:
    return value


@udfvm.udf
def not_a_number() -> float:
    return math.nan


@udfvm.udf
def same_bool(value: bool) -> bool:
    return value


@udfvm.udf
def same_text(value: str) -> str:
    return value


@udfvm.udf
def same_blob(value: bytes) -> bytes:
    return value


@udfvm.udf
def type_of(value: str | None) -> str:
    return type(value).__name__


@udfvm.udf
def constant() -> int:
    return 42


_state = {"calls": 0}


@udfvm.udf
def counter(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf(isolation="row")
def counter_row(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf
def other_counter(_: int) -> int:
    _state["calls"] += 1
    return _state["calls"]


@udfvm.udf
def picky(value: int) -> int:
    if value >= 3:
        raise ValueError(f"{value} is too much")
    return value


@udfvm.udf(timeout=0.3)
def endless(_: int) -> int:
    while True:
        pass


@udfvm.udf
def crash(_: int) -> int:
    return ctypes.string_at(1)[0]


@udfvm.udf
def raw_reply(reply: bytes, status: int) -> str:
    """Completes the call by itself, with whatever bytes it likes: what a hostile program can do."""
    ctypes.memmove(OUTPUT_BASE, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(status, len(reply))
    return "after the call"


UDFS = (
    score, same_int, same_float, not_a_number, same_bool, same_text, same_blob, type_of, constant,
    counter, counter_row, other_counter, picky, endless, crash, raw_reply,
)  # fmt: skip


Query = Callable[..., list[tuple[Any, ...]]]


def error_of(query: Query, sql: str, *bindings: object) -> str:
    with pytest.raises(apsw.SQLError) as caught:
        query(sql, *bindings)
    assert query("SELECT same_int(7)") == [(7,)], "the connection stays usable"
    return str(caught.value)


def reply(type_: int, length: int, value: int, rest: bytes = b"") -> bytes:
    return (
        type_.to_bytes(4, "little")
        + length.to_bytes(4, "little")
        + value.to_bytes(8, "little")
        + rest
    )
