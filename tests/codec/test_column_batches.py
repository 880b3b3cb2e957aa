"""Columns are widened for a column batch, and narrowed to the declared type again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from conversion_cases import IN_ROWS, array_of, cases, stored_values

from udfvm.codec.column_batches import narrowed, widened
from udfvm.types.arrow_types import named


@pytest.mark.parametrize("name", IN_ROWS)
def test_widened_columns_come_back(name: str) -> None:
    mine = named(name)
    values = [case.value for case in cases(name) if case.found == mine.arrow and case.stored]
    array = array_of(mine.arrow, [*values, None])
    assert stored_values(narrowed(widened(array, mine), mine)) == stored_values(array)


@pytest.mark.parametrize(
    ("number", "name"),
    [(1e300, "float"), (128, "int8"), (5, "date64[ms]"), (2**40, "date32[day]"), (-1, "uint32")],
)
def test_columns_of_a_hostile_guest_that_cannot_be_narrowed(number: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"range|infinite|days|value"):
        narrowed(pa.array([number]), named(name))
