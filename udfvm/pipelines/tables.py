"""Batches of table functions: any number of rows for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from udfvm.codec.any_columns import concatenated, nulls
from udfvm.errors import CallError, TypeMappingError
from udfvm.pipelines.columns import Arguments
from udfvm.pipelines.failures import OnError, located
from udfvm.types.unions import null_count

#: Batches of rows that a table function makes, and for each row the index of its arguments.
Fetched = Iterable[tuple[list[int], pa.RecordBatch]]


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
        fetch: calls it with columns of so many rows.
        may_repeat: False if calls have effects outside, through host functions: a call that failed
            is then not made again to find the row.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[_Named],
        fetch: Callable[[Sequence[pa.Array], int], Fetched],
        *,
        may_repeat: bool,
    ) -> None:
        self.name = name
        self.fields = [column.type.field(column.name) for column in columns]
        self._schema = pa.schema(self.fields)
        self._fetch = fetch
        self._may_repeat = may_repeat

    def map_batch(
        self, arguments: Arguments, batch: pa.RecordBatch, first_row: int, on_error: OnError
    ) -> tuple[list[pa.Array], Sequence[int] | None, int]:
        """Calls the function with the rows of a batch (see ``mapping.Mapped``): with all at once,
        and where one fails that is to be passed over, or is not known, with one after the other.
        """
        cast = self._cast(arguments, batch)
        if cast is None:
            return self._one_by_one(arguments, batch, first_row, on_error)
        try:
            fetched = list(self._fetch(cast, batch.num_rows))
        except (CallError, TypeMappingError) as error:
            if on_error == "raise" and (error.row is not None or not self._may_repeat):
                raise located(error, first_row, batch.num_rows) from None
            return self._one_by_one(arguments, batch, first_row, on_error)
        indices = [index for sources, _ in fetched for index in sources]
        return self._columns([made for _, made in fetched]), indices, 0

    def _one_by_one(
        self, arguments: Arguments, batch: pa.RecordBatch, first_row: int, on_error: OnError
    ) -> tuple[list[pa.Array], Sequence[int], int]:
        made: list[pa.RecordBatch] = []
        indices: list[int] = []
        failed = 0
        for row in range(batch.num_rows):
            try:
                found = list(self._of_row(arguments, batch.slice(row, 1)))
            except (CallError, TypeMappingError) as error:
                if on_error == "raise":
                    raise located(error, first_row + row, 1) from None
                failed += 1
                found = [self._nulls()] if on_error == "null" else []
            made += found
            indices += [row] * sum(each.num_rows for each in found)
        return self._columns(made), indices, failed

    def _of_row(self, arguments: Arguments, row: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        columns = arguments.cast(arguments.of(row))
        for parameter, column in zip(arguments.parameters, columns, strict=True):
            if not parameter.nullable and null_count(column):
                return
        for _, made in self._fetch(columns, 1):
            yield made

    def _columns(self, made: Sequence[pa.RecordBatch]) -> list[pa.Array]:
        return [
            concatenated([each.column(index) for each in made], field.type)
            for index, field in enumerate(self.fields)
        ]

    def _cast(self, arguments: Arguments, batch: pa.RecordBatch) -> list[pa.Array] | None:
        """Returns the arguments of all rows; None if one of them has a wrong value."""
        try:
            return arguments.cast(arguments.of(batch))
        except TypeMappingError:
            return None

    def _nulls(self) -> pa.RecordBatch:
        columns = [nulls(1, field.type) for field in self.fields]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
