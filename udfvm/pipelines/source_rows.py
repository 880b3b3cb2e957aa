"""What a source is once it is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from udfvm.tuples import NamedTuple

_ROWS: Final = 1 << 20  # of a table that are looked at together


class Source(NamedTuple):
    """Rows.

    Attributes:
        schema: their columns.
        rows: how many there are; None if that is not known before the end.
        read: yields them with some of the columns, which have these names, in this order. Before
            ``open_source`` has wrapped it, batches may have more columns, in any order.
        is_frame: True for a frame of pandas, whose index belongs to it.
    """

    schema: pa.Schema
    rows: int | None
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    is_frame: bool = False


def of_table(table: pa.Table) -> Source:
    """Returns the rows of a table."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(columns).to_reader(_ROWS)

    return Source(table.schema, table.num_rows, read)
