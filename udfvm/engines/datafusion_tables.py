"""Table functions as datasets, which DataFusion scans.

DataFusion takes the rows of a table function from a dataset of pyarrow, and asks it for columns and
filters. So there is one here whose only fragment calls the function when it is scanned, and no
longer than a query takes rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from udfvm.engines.datafusion_queries import calls_of_query
from udfvm.types.array_conversions import convert

if TYPE_CHECKING:
    from udfvm.functions.table import TableFunction


class Rows(ds.Dataset):  # type: ignore[misc]
    """The rows of a table function for some arguments, with the methods that DataFusion calls."""

    def __init__(self, function: TableFunction, arguments: Sequence[Any]) -> None:
        self._function = function
        self._arguments = arguments
        self._schema = pa.schema(
            [(each.name, each.type.as_declared_decoded) for each in function.columns]
        )

    @property
    def schema(self) -> pa.Schema:
        """The columns of the function."""
        return self._schema

    def get_fragments(self, filter: Any = None) -> list[Rows]:
        """Returns the parts that are scanned by themselves."""
        return [self]

    def scanner(
        self,
        schema: pa.Schema | None = None,
        *,
        columns: Iterable[str] | None = None,
        filter: Any = None,
        **_: Any,
    ) -> Scan:
        """Returns what scans some columns of the rows that an expression holds for."""
        names = self._schema.names if columns is None else list(columns)
        return Scan(self._function, self._arguments, self._schema, names, filter)


class Scan:
    """A scan of rows.

    Attributes:
        projected_schema: its columns.
    """

    def __init__(
        self,
        function: TableFunction,
        arguments: Sequence[Any],
        schema: pa.Schema,
        columns: Sequence[str],
        filter: Any,
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._schema = schema
        self._columns = list(columns)
        self._filter = filter
        self.projected_schema = pa.schema([schema.field(name) for name in columns])

    def to_batches(self) -> Generator[pa.RecordBatch]:
        """Calls the function, as far as its rows are fetched."""
        with contextlib.closing(self._function.batches(*self._arguments)) as batches:
            while True:
                with calls_of_query():
                    batch = next(batches, None)
                if batch is None:
                    return
                yield from self._selected(batch)

    def _selected(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        columns = [
            convert(column, type_)
            for column, type_ in zip(batch.columns, self._schema.types, strict=True)
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        if self._filter is not None:
            table = table.filter(self._filter)
        return table.select(self._columns).to_batches()
