"""Buffers that contradict each other, in columns of every type."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from encoded_values import EXTENSIONS
from every_column import EVERY_LEAF, EveryColumn, every_column

from udfvm.pipelines import broken
from udfvm.pipelines.broken import Checker


def of_numbers(*values: int, dtype: Any = np.int32) -> pa.Buffer:
    return pa.py_buffer(np.array(values, dtype))


NUMBERS = pa.array(range(4))
TEXT = pa.Array.from_buffers(
    pa.string(), 3, [None, of_numbers(0, 900, 3, 5), pa.py_buffer(b"hello")]
)
INDICES = pa.DictionaryArray.from_arrays(pa.array([0, 7, 0]), pa.array(["a"]), safe=False)
BROKEN: dict[str, pa.Array] = {
    "text": TEXT,
    "list": pa.Array.from_buffers(
        pa.list_(pa.int64()), 3, [None, of_numbers(0, 900, 3, 4)], children=[NUMBERS]
    ),
    "large list": pa.Array.from_buffers(
        pa.large_list(pa.int64()), 2, [None, of_numbers(0, 900, 4, dtype=np.int64)],
        children=[NUMBERS],
    ),
    "list view": pa.Array.from_buffers(
        pa.list_view(pa.int64()), 2, [None, of_numbers(0, 900), of_numbers(1, 1)],
        children=[NUMBERS],
    ),
    "indices": INDICES,
    "values of a dictionary": pa.DictionaryArray.from_arrays(pa.array([0]), TEXT),
    "in a list": pa.ListArray.from_arrays([0, 3], TEXT),
    "in lists of lists": pa.ListArray.from_arrays([0, 1], pa.ListArray.from_arrays([0, 3], TEXT)),
    "in a list of a size": pa.FixedSizeListArray.from_arrays(INDICES, 3),
    "in a struct": pa.StructArray.from_arrays([NUMBERS[:3], INDICES], ["a", "b"]),
    "in a map": pa.MapArray.from_arrays([0, 3], NUMBERS[:3], TEXT),
    "in JSON": pa.json_().wrap_array(TEXT),
    "union": pa.Array.from_buffers(
        pa.dense_union([pa.field("a", pa.int64())]), 1,
        [None, of_numbers(0, dtype=np.int8), of_numbers(900)], children=[NUMBERS],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_columns(name: str) -> None:
    checker = Checker()
    for _ in range(2):
        assert checker.damage(BROKEN[name])


def test_sound_columns() -> None:
    made = [(EveryColumn(random.Random(0)), type_) for type_ in (*EVERY_LEAF, *EXTENSIONS)]
    for columns, type_ in [*made, *map(every_column, range(60))]:
        column = columns.of(type_, 9)
        checker = Checker()
        for part in (column, column.slice(2, 5), column.slice(9), column):
            assert checker.damage(part) == ""


def test_what_batches_share_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(broken, "_check_leaf", lambda array: seen.append(len(array)))
    text = pa.array([str(each) for each in range(100)])
    lists = pa.ListArray.from_arrays(range(0, 101, 10), text)
    for column in (lists, text.dictionary_encode()):
        checker = Checker()
        for start in range(10):
            checker.damage(column.slice(start, 1))
    assert seen == [100, 100]
    checker.damage(pa.array([["another"]]))
    assert seen == [100, 100, 1]
