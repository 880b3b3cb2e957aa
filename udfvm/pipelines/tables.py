"""Batches of table functions: any number of rows for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from udfvm.codec.any_columns import concatenated, nulls
from udfvm.errors import CallError, TypeMappingError
from udfvm.pipelines.columns import Arguments
from udfvm.pipelines.failures import OnError, located
from udfvm.types.unions import null_count

Fetch = Callable[[Sequence[pa.Array]], Iterable[pa.RecordBatch]]


class _Named(Protocol):
    """A column that a table function makes."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> Any: ...


class TableMapping:
    """A table function in a pipeline.

    Args:
        name: the function's name.
        columns: the columns that it makes.
        fetch: calls it with a row, which is columns of one row each.
    """

    def __init__(self, name: str, columns: Sequence[_Named], fetch: Fetch) -> None:
        self.name = name
        self.fields = [column.type.field(column.name) for column in columns]
        self._schema = pa.schema(self.fields)
        self._fetch = fetch

    def map_batch(
        self, arguments: Arguments, batch: pa.RecordBatch, first_row: int, on_error: OnError
    ) -> tuple[list[pa.Array], Sequence[int] | None, int]:
        """Calls the function with the rows of a batch (see ``mapping.Mapped``)."""
        made: list[pa.RecordBatch] = []
        indices: list[int] = []
        failed = 0
        cast = self._cast(arguments, batch)
        for row in range(batch.num_rows):
            try:
                found = list(self._call(arguments, batch, cast, row))
            except (CallError, TypeMappingError) as error:
                if on_error == "raise":
                    of_input = first_row + row
                    raise located(error, of_input, 1) from None
                failed += 1
                found = [self._nulls()] if on_error == "null" else []
            made += found
            indices += [row] * sum(each.num_rows for each in found)
        columns = [
            concatenated([each.column(index) for each in made], field.type)
            for index, field in enumerate(self.fields)
        ]
        return columns, indices, failed

    def _cast(self, arguments: Arguments, batch: pa.RecordBatch) -> list[pa.Array] | None:
        """Returns the arguments of all rows; None if one of them has a wrong value."""
        try:
            return arguments.cast(arguments.of(batch))
        except TypeMappingError:
            return None

    def _call(
        self,
        arguments: Arguments,
        batch: pa.RecordBatch,
        cast: list[pa.Array] | None,
        row: int,
    ) -> Iterable[pa.RecordBatch]:
        if cast is None:
            columns = arguments.cast(arguments.of(batch.slice(row, 1)))
        else:
            columns = [column.slice(row, 1) for column in cast]
        for parameter, column in zip(arguments.parameters, columns, strict=True):
            if not parameter.nullable and null_count(column):
                return ()
        return self._fetch(columns)

    def _nulls(self) -> pa.RecordBatch:
        columns = [nulls(1, field.type) for field in self.fields]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
