"""Calls with lists, for engines without aggregates or table functions of their own: an aggregate
takes a list of rows for each group, and a table function returns a list of rows for each row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.codec.any_columns import concatenated
from udfvm.codec.arguments import columns_of
from udfvm.errors import UDFError
from udfvm.functions.aggregate import rows_that_count
from udfvm.functions.group import group_of
from udfvm.types.unions import null_count

if TYPE_CHECKING:
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.table import TableFunction


def aggregated_lists(
    function: AggregateFunction, columns: Sequence[Any], groups: Any, count: int
) -> pa.Array:
    """Returns the value of each of so many groups, whose rows lie in columns one after the other.
    ``groups`` has the group of each row, an int64. All groups share a micro-VM.

    Raises what calls of the aggregate raise. Failures count their row in the columns.
    """
    calls = function._calls
    calls.follow()
    cast, _ = columns_of(
        function.name, function.parameters, columns, vectorized=function.vectorized
    )
    table, valid = function._table(cast)
    with rows_that_count(valid), group_of(calls) as group:
        group.feed(
            table.append_column("group", groups if valid is None else groups.filter(valid)), 0
        )
        found = [group.finish_column(each) for each in range(count)]
    return concatenated(found, function.result.type.as_declared)


def listed_rows(function: TableFunction, columns: Sequence[Any], rows: int) -> pa.ListArray:
    """Returns a list of structs for each of so many rows of columns: what the table function yields
    for it. A null in a parameter that does not allow None makes an empty list. The rows share a
    micro-VM.

    Raises what calls of the function raise.
    """
    sources: list[pa.Array] = []
    batches: list[pa.RecordBatch] = []
    for made_for, batch in rows_of_each(function, columns, rows):
        sources.append(made_for)
        batches.append(batch)
    schema = pa.schema([each.type.field(each.name) for each in function.columns])
    made = [
        concatenated([batch.column(index) for batch in batches], field.type)
        for index, field in enumerate(schema)
    ]
    structs = pa.StructArray.from_arrays(made, fields=list(schema))
    return pa.ListArray.from_arrays(_offsets(concatenated(sources, pa.int64()), rows), structs)


def rows_of_each(
    function: TableFunction, columns: Sequence[Any], rows: int
) -> Generator[tuple[pa.Array, pa.RecordBatch]]:
    """Yields what the table function yields for each of so many rows of columns, in batches, and
    for each of its rows the index of the one that it was made for, an int64. A null in a parameter
    that does not allow None makes no rows. The rows share a micro-VM, which is in use until the
    generator ends or is closed.

    Raises what calls of the function raise. An exception of the function has the row that it was
    called with: the rows that may be to blame are called again, each by itself.
    """
    function._calls.follow()
    cast, _ = columns_of(function.name, function.parameters, columns, vectorized=False)
    valid: Any = None
    for column, parameter in zip(cast, function.parameters, strict=True):
        if not parameter.nullable and null_count(column):
            valid = column.is_valid() if valid is None else pc.and_(valid, column.is_valid())
    called: Any = pa.array(range(rows), pa.int64())
    if valid is not None:
        called, cast = called.filter(valid), [column.filter(valid) for column in cast]
    if not len(called):
        return
    last = 0
    try:
        with contextlib.closing(function._fetch(function._calls, cast, len(called))) as fetched:
            for made_for, batch in fetched:
                yield called.take(pa.array(made_for, pa.int64())), batch
                last = made_for[-1]
    except UDFError as error:
        if error.row is None and rows > 1:
            if len(called) - last == 1:
                error.locate(called[last].as_py())
            elif function._declaration.host_functions is None:  # which would be called again
                _check_each(function, cast, called, last)
        raise


def _check_each(function: TableFunction, columns: Sequence[Any], rows: Any, first: int) -> None:
    """Calls a table function with each row from ``first`` on, and raises UDFError with its index
    among ``rows`` for the first that fails.
    """
    for at in range(first, len(rows)):
        row = [column.slice(at, 1) for column in columns]
        try:
            with contextlib.closing(function._fetch(function._calls, row, 1)) as fetched:
                for _ in fetched:
                    pass
        except UDFError as error:
            error.locate(rows[at].as_py())
            raise


def _offsets(sources: Any, rows: int) -> Any:
    """Returns where the items of each row begin, and where the last ones end; ``sources`` has the
    row of each item, in order.
    """
    every = pa.concat_arrays([sources, pa.array(range(rows), pa.int64())])
    counted = pa.table({"row": every}).group_by("row").aggregate([([], "count_all")])
    counts: Any = counted.sort_by("row")["count_all"]
    ends = pc.cumulative_sum(pc.subtract(counts, 1)).combine_chunks()
    return pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(pa.int32())
