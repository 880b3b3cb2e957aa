"""What DataFusion calls for scalar functions and aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import datafusion
import pyarrow as pa

from udfvm.engines.datafusion_queries import calls_of_query
from udfvm.functions.integration import results_of_values, value_of_group
from udfvm.types.array_conversions import convert

if TYPE_CHECKING:
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.scalar import ScalarFunction


class Scalar:
    """A function that has a value for each row of columns."""

    def __init__(self, function: ScalarFunction) -> None:
        self._function = function
        self._type = function.result.type.as_declared_decoded

    def __call__(self, *columns: pa.Array) -> pa.Array:
        with calls_of_query():
            if columns:
                return convert(self._function(*columns), self._type)
            return convert(results_of_values(self._function, (), 1), self._type)


class Accumulator(datafusion.Accumulator):
    """A group of an aggregate: its rows, until its value is asked for, which is a call.

    The groups of a query are there at the same time, so none has a micro-VM of its own.
    """

    def __init__(self, function: AggregateFunction) -> None:
        self._function = function
        self._types = [each.type.as_declared_decoded for each in function.parameters]
        self._parts: list[list[pa.Array]] = [[] for _ in self._types]

    def update(self, *values: pa.Array) -> None:
        """Takes rows."""
        for parts, column in zip(self._parts, values, strict=True):
            parts.append(column)

    def state(self) -> list[pa.Scalar]:
        """Returns the rows, as a list of structs."""
        columns = self._columns()
        rows = pa.StructArray.from_arrays(columns, [f"c{place}" for place in range(len(columns))])
        offsets = pa.array([0, len(rows)], pa.int64())
        return [pa.LargeListArray.from_arrays(offsets, rows)[0]]

    def merge(self, states: Sequence[pa.Array]) -> None:
        """Takes the rows of other parts of the group."""
        self.update(*states[0].flatten().flatten())

    def evaluate(self) -> pa.Scalar:
        """Calls the aggregate."""
        with calls_of_query("group"):
            made = value_of_group(self._function, self._columns())
            return convert(made, self._function.result.type.as_declared_decoded)[0]

    def _columns(self) -> list[pa.Array]:
        return [
            pa.concat_arrays(parts) if parts else pa.array([], type_)
            for parts, type_ in zip(self._parts, self._types, strict=True)
        ]


def state_type(function: AggregateFunction) -> pa.DataType:
    """Returns the type of what ``Accumulator.state`` returns."""
    fields = [
        (f"c{place}", each.type.as_declared_decoded)
        for place, each in enumerate(function.parameters)
    ]
    return pa.large_list(pa.struct(fields))
