"""What clients see of functions: the columns that each takes and returns, and how it is called.

=================  =============================  ===============================================
form               takes                          returns
=================  =============================  ===============================================
scalar, vectorised a column for each parameter    a column, with the name of the function
table function     the same                       the column ``row``, the index of the row that a
                                                  row was made for, and a column with the name of
                                                  the function: of structs, if it has several
                                                  columns
aggregate          a column of lists for each     a column with a value for each row, whose lists
                   parameter                      are a group
=================  =============================  ===============================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.call.spreading import has_free_vm, may_spread
from udfvm.codec.containers import Container
from udfvm.errors import CallError, SignatureError, TypeMappingError
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.function import Function
from udfvm.functions.integration import calls_of, declaration_of
from udfvm.functions.list_calls import aggregated_lists, rows_of_each
from udfvm.functions.table import TableFunction
from udfvm.texts import counted
from udfvm.types.array_conversions import convert

_ROW = pa.field("row", pa.int32())
_FEW = 2  # batches of a call, which run wherever a micro-VM is free


def served(function: Function) -> Served:
    """Returns what clients see of a function. Raises SignatureError if they cannot have it."""
    if function.is_variadic:
        raise SignatureError(
            f"UDF {function.name!r}: *args takes any number of arguments, and clients are told one:"
            " declare a parameter for each"
        )
    if isinstance(function, TableFunction):
        return _Table(function)
    if isinstance(function, AggregateFunction):
        return _Aggregate(function)
    return Served(function)


class Served:
    """A scalar or vectorised function.

    Attributes:
        function: the function.
        name: its name.
        inputs: the columns that it takes.
        outputs: the columns that it returns.
        may_overlap: whether batches may be computed side by side. Each has one answer then.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.name = function.name
        self.inputs = pa.schema(
            [
                pa.field(each.name, self._taken(each.type.as_declared_decoded))
                for each in function.parameters
            ]
        )
        self.outputs = self._returned()
        self.may_overlap = self._may_overlap()

    def may_begin_another(self, running: int) -> bool:
        """Returns True if a micro-VM is free for one more batch of a call, of which so many run.
        One that waits for it would do so in its own time. Calls with more than two leave half of
        the pool to others.
        """
        return has_free_vm(calls_of(self.function, len(self.inputs)), beyond_half=running < _FEW)

    def batches(self, columns: Sequence[pa.Array], rows: int) -> Generator[pa.RecordBatch]:
        """Calls the function with columns of so many rows, and yields record batches of results.
        Raises what calls raise, with the row in these columns.
        """
        if len(columns) != len(self.inputs):
            raise TypeMappingError(
                f"UDF {self.name!r}: it takes {counted(len(self.inputs), 'column')}, got"
                f" {len(columns)}"
            )
        try:
            yield from self._batches(columns, rows)
        except (CallError, TypeMappingError) as error:
            error.locate(error.row, of="batch")
            raise

    def _may_overlap(self) -> bool:
        # It works row by row, and does nothing whose order matters.
        return may_spread(declaration_of(self.function))

    def _taken(self, type_: Any) -> Any:
        return type_

    def _returned(self) -> pa.Schema:
        return pa.schema([pa.field(self.name, self.function.result.type.as_declared_decoded)])

    def _batches(self, columns: Sequence[pa.Array], rows: int) -> Generator[pa.RecordBatch]:
        calls = calls_of(self.function, len(columns))
        if columns:
            result = calls.call(tuple(columns))
        else:
            calls.follow()
            result = calls.call_columns([], Container.ARRAY, rows=rows)
        yield self._in_batch([result])

    def _in_batch(self, columns: Sequence[Any]) -> pa.RecordBatch:
        arrays = [
            convert(column, field.type) if column.type != field.type else column
            for column, field in zip(columns, self.outputs, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.outputs)


class _Table(Served):
    """A table function."""

    function: TableFunction

    def _may_overlap(self) -> bool:
        return False  # there may be any number of answers

    def _returned(self) -> pa.Schema:
        columns = self.function.columns
        fields = [pa.field(each.name, each.type.as_declared_decoded) for each in columns]
        type_ = fields[0].type if len(fields) == 1 else pa.struct(fields)
        return pa.schema([_ROW, pa.field(self.name, type_)])

    def _batches(self, columns: Sequence[pa.Array], rows: int) -> Generator[pa.RecordBatch]:
        type_ = self.outputs.field(1).type
        with contextlib.closing(rows_of_each(self.function, columns, rows)) as found:
            for made_for, batch in found:
                made = batch.column(0)
                if len(self.function.columns) > 1:
                    decoded = [
                        convert(column, field.type) if column.type != field.type else column
                        for column, field in zip(batch.columns, type_, strict=True)
                    ]
                    made = pa.StructArray.from_arrays(decoded, fields=list(type_))
                yield self._in_batch([made_for.cast(pa.int32()), made])


class _Aggregate(Served):
    """An aggregate: clients collect the rows of each group in lists."""

    function: AggregateFunction

    def __init__(self, function: AggregateFunction) -> None:
        super().__init__(function)
        if not self.inputs:
            raise SignatureError(
                f"UDF {function.name!r}: clients call aggregates with a column of lists for each"
                " parameter, and it has none"
            )

    def _may_overlap(self) -> bool:
        return False  # a batch is several calls

    def _taken(self, type_: Any) -> Any:
        return pa.list_(type_)

    def _batches(self, columns: Sequence[pa.Array], rows: int) -> Generator[pa.RecordBatch]:
        for column, field in zip(columns, self.inputs, strict=True):
            if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
                raise TypeMappingError.of_argument(
                    self.name, field.name, None, f"takes lists of values, got {column.type}"
                )
        lengths = [pc.list_value_length(each).fill_null(0).cast(pa.int64()) for each in columns]
        if any(not each.equals(lengths[0]) for each in lengths):
            raise TypeMappingError(
                f"UDF {self.name!r}: the lists of its arguments differ in length: each group has as"
                " many values for each"
            )
        groups = pc.list_parent_indices(columns[0])
        values = [pc.list_flatten(each) for each in columns]
        yield self._in_batch([aggregated_lists(self.function, values, groups, rows)])
