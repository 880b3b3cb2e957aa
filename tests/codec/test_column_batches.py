"""Columns are widened for a column batch, and narrowed to the declared type again."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from conversion_cases import DECLARED, IN_ROWS, array_of, cases, stored_values
from hostile_mutations import chances, tampered, value
from nested_types import TYPES

from udfvm.codec.column_batches import checked_sources, decode, encode, narrowed, widened
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import RowType, Type, declared, named


@pytest.mark.parametrize("name", IN_ROWS)
def test_widened_columns_come_back(name: str) -> None:
    mine = named(name)
    values = [case.value for case in cases(name) if case.found == mine.arrow and case.stored]
    array = array_of(mine.arrow, [*values, None])
    assert stored_values(narrowed(widened(array, mine), mine)) == stored_values(array)


@pytest.mark.parametrize("name", IN_ROWS)
def test_part_of_an_array_travels_alone(name: str) -> None:
    """Text has its whole array's bytes behind it, also where a cast made the part's offsets."""
    mine = named(name)
    values = [case.value for case in cases(name) if case.found == mine.arrow and case.stored]
    value = values[0] if values else None
    whole = array_of(mine.arrow, [value, value, None, value] * 3)
    for start, rows in ((0, 2), (3, 6), (1, 1), (4, 0), (2, 10)):
        part = whole.slice(start, rows)
        alone = whole.take(pa.array(range(start, start + rows), pa.int64()))
        assert len(encode([widened(part, mine)], rows)) == len(encode([widened(alone, mine)], rows))


@pytest.mark.parametrize(
    ("number", "name"),
    [(1e300, "float"), (128, "int8"), (5, "date64[ms]"), (2**40, "date32[day]"), (-1, "uint32")],
)
def test_columns_of_a_hostile_guest_that_cannot_be_narrowed(number: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"range|infinite|days|value"):
        narrowed(pa.array([number]), named(name))


EVERY = [*map(named, DECLARED), *map(declared, TYPES)]
every_type = pytest.mark.parametrize("type_", EVERY, ids=str)


def honest(columns: list[pa.Array], types: list[Type]) -> bytes:
    """The reply of an honest guest."""
    parts: list[pa.Array | bytes] = []
    for column, type_ in zip(columns, types, strict=True):
        if not type_.is_stream:
            parts.append(widened(column, type_))
            continue
        batch = pa.record_batch([column], names=["result"])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        parts.append(sink.getvalue().to_pybytes())
    return encode(parts, len(columns[0]))


@every_type
def test_replies_are_read_as_they_were_written(type_: Type) -> None:
    chance = random.Random(type_.name)
    values = [value(type_.arrow, chance) if type_.name != "null" else None for _ in range(9)]
    columns = [pa.array(range(9), pa.int64()), pa.array(values, type_.arrow)]
    types = [named("int64"), type_]
    batch, more = decode("f", honest(columns, types), types, 9)
    assert not more and batch.columns == columns


@every_type
def test_types_that_rows_lack_are_streams(type_: Type) -> None:
    assert type_.is_stream == (type_.is_nested or type_.row in (None, RowType.NULL))


def test_replies_that_were_tampered_with() -> None:
    """Each is refused or has valid columns. See hostile_mutations.py for what streams may hold."""
    types = [named("int64"), named("list<struct<a: int32, b: string>>"), named("string")]
    for chance in chances(2000):
        columns = [
            pa.array([value(each.arrow, chance) for _ in range(5)], each.arrow) for each in types
        ]
        try:
            batch, _ = decode("f", tampered(honest(columns, types), chance), types, 8)
        except ProtocolError:
            continue
        assert batch.num_rows <= 8
        for column, type_ in zip(batch.columns, types, strict=True):
            assert column.type == type_.arrow
            column.validate(full=True)


@pytest.mark.parametrize(
    ("sources", "first", "rows"),
    [([-1], 0, 3), ([3], 0, 3), ([0, 2, 1], 0, 3), ([0, None], 0, 3), ([1, 2], 2, 3), ([0], 0, 0)],
)
def test_rows_that_belong_to_no_row_of_arguments(
    sources: list[int | None], first: int, rows: int
) -> None:
    with pytest.raises(ProtocolError, match="do not belong to"):
        checked_sources("f", pa.array(sources, pa.int64()), first, rows)


def test_rows_that_belong_to_rows_of_arguments() -> None:
    assert checked_sources("f", pa.array([1, 1, 4]), 1, 5) == [1, 1, 4]
    assert checked_sources("f", pa.array([], pa.int64()), 2, 5) == []
