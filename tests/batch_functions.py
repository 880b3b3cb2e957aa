"""Functions in batches that the tests of SQLite share."""

from __future__ import annotations

import ctypes
import datetime
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite
from udfvm.protocol import OUTPUT_BASE, STATUS_OK, VECTOR_COMPLETE

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


@udfvm.udf
def ratio(a: float, b: float) -> float | None:
    return None if b == 0 else a / b


@udfvm.udf(vectorized=True)
def ratio_of_arrays(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return a / b


@udfvm.udf
def describe(
    i: int | None, f: float | None, t: str | None, b: bytes | None, flag: bool | None
) -> str:
    return repr((i, f, t, b, flag))


@udfvm.udf
def echo_text(text: str) -> str:
    return text


@udfvm.udf
def echo_blob(blob: bytes | None) -> bytes | None:
    return blob


@udfvm.udf(input_types=["int16", "float"], output_type="int8")
def narrow(a: int, b: float):  # type: ignore[no-untyped-def]
    return a + int(b)


@udfvm.udf
def weekday(day: datetime.date) -> int:
    return day.isoweekday()


@udfvm.udf(vectorized=True, input_types=["string", "date32"], output_type="string")
def label(text: pa.StringArray, day: pa.Date32Array) -> pa.Array:
    return pa.array([f"{a} {b}" for a, b in zip(text.to_pylist(), day.to_pylist(), strict=True)])[
        0:
    ]


@udfvm.udf
def no_sevens(i: int) -> int:
    if i % 1000 == 777:
        raise ValueError(f"{i} has sevens")
    return i


@udfvm.udf(timeout=0.5)
def stuck(i: int) -> int:
    while i > 2:
        pass
    return i


_seen = {"rows": 0}


@udfvm.udf
def count_rows(_: int) -> int:
    _seen["rows"] += 1
    return _seen["rows"]


@udfvm.table_function(columns={"word": str, "at": int})
def words(text: str) -> Iterator[tuple[str, int]]:
    position = 0
    for word in text.split():
        position = text.index(word, position)
        yield word, position


class Point(NamedTuple):
    n: int
    half: float | None


@udfvm.table_function
def points(n: int) -> Iterator[Point]:
    for i in range(n):
        yield Point(i, i / 2 if i % 3 else None)


@udfvm.table_function(columns={"x": "double", "s": str})
def batches(n: int) -> Iterator[pa.Table]:
    for i in range(n):
        yield pa.table({"s": [f"{i}:{k}" for k in range(1000)], "x": np.arange(1000.0) + i})


@udfvm.table_function(columns={"value": int})
def odd_rows(kind: str) -> Any:
    rows: dict[str, Any] = {
        "mappings": [{"value": 1}, {}],
        "values": [1, None],
        "wide": [(1, 2)],
        "unknown": [{"other": 1}],
        "wrong": [1, "two"],
        "none": None,
        "number": 7,
        "raises": (1 // (3 - i) for i in range(5)),
    }
    return rows.get(kind, [])


@udfvm.table_function(columns={"size": int, "data": bytes})
def large(count: int) -> Iterator[tuple[int, bytes]]:
    for i in range(count):
        yield i, bytes([i % 256]) * (3 << 20)


@udfvm.aggregate
class gini:
    """Inequality of values: 0 where all are the same."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def merge(self, other: gini) -> None:
        self.values += other.values

    def finish(self) -> float | None:
        ordered = sorted(self.values)
        count, total = len(ordered), sum(ordered)
        return (
            sum((2 * i - count + 1) * value for i, value in enumerate(ordered)) / (count * total)
            if total
            else None
        )


@udfvm.aggregate
class middle:
    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def inverse(self, value: float) -> None:
        assert self.values.pop(0) == value

    def finish(self) -> float | None:
        return sorted(self.values)[len(self.values) // 2] if self.values else None


@udfvm.aggregate(vectorized=True)
class total:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, value: npt.NDArray[np.float64]) -> None:
        self.sum += float(value.sum())

    def inverse(self, value: npt.NDArray[np.float64]) -> None:
        self.sum -= float(value.sum())

    def finish(self) -> float:
        return self.sum


@udfvm.aggregate
class joined:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def step(self, text: str | None, separator: str) -> None:
        self.parts.append(separator + ("-" if text is None else text))

    def finish(self) -> str:
        return "".join(self.parts)


@udfvm.aggregate
class fails:
    def step(self, value: int) -> None:
        if value == 5:
            raise ValueError("five")

    def finish(self) -> int:
        raise LookupError("no value")


@udfvm.aggregate
class groups_alive:
    """Sees how many groups of its call there were before."""

    begun = 0

    def __init__(self) -> None:
        groups_alive.begun += 1  # type: ignore[attr-defined]

    def step(self, _: int) -> None: ...

    def finish(self) -> int:
        return groups_alive.begun  # type: ignore[attr-defined, no-any-return]


@udfvm.udf
def forged(reply: bytes) -> str:
    """Completes the call by itself, with whatever bytes it likes: what a hostile program can do."""
    ctypes.memmove(OUTPUT_BASE, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, len(reply))
    return "after the call"


@udfvm.table_function(columns={"text": str})
def forged_table(reply: bytes) -> Iterator[str]:
    ctypes.memmove(OUTPUT_BASE, reply, len(reply))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, len(reply))
    yield "after the call"


UDFS = (
    ratio,
    ratio_of_arrays,
    describe,
    echo_text,
    echo_blob,
    narrow,
    weekday,
    label,
    no_sevens,
    stuck,
    count_rows,
    words,
    points,
    batches,
    odd_rows,
    large,
    gini,
    middle,
    total,
    joined,
    fails,
    groups_alive,
    forged,
    forged_table,
)


class Query:
    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def __call__(self, sql: str, *bindings: Any) -> list[Any]:
        return self.connection.execute(sql, bindings).fetchall()

    def error(self, sql: str, *bindings: Any) -> str:
        with pytest.raises(apsw.Error) as caught:
            self(sql, *bindings)
        return str(caught.value)


HEAD, COLUMN = struct.Struct("<QII"), struct.Struct("<IIQQQQ")


def reply(
    rows: int, *columns: tuple[int, int, int, int, int], tail: bytes = b"", flags: int = 0
) -> bytes:
    return (
        HEAD.pack(rows, len(columns), flags)
        + b"".join(COLUMN.pack(kind, 0, *rest) for kind, *rest in columns)
        + tail
    )


TEXT, INT64 = 3, 1
