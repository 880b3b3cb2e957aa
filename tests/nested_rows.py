"""Table functions and aggregates that give what they took, of any type."""

from __future__ import annotations

import functools
from typing import Any

import pyarrow as pa

import udfvm


@functools.cache
def twice(type_: pa.DataType) -> udfvm.TableFunction:
    """Yields its argument as a row, and in a batch."""

    def rows(x):  # type: ignore[no-untyped-def]
        import pyarrow

        yield x, 0
        yield pyarrow.table({"x": pyarrow.array([x], type_), "i": [1]})

    return udfvm.table_function(columns={"x": type_, "i": "int64"}, input_types=[type_])(rows)


@functools.cache
def last(type_: pa.DataType) -> udfvm.AggregateFunction:
    class Last:
        def __init__(self) -> None:
            self.value: Any = None

        def step(self, x):  # type: ignore[no-untyped-def]
            self.value = x

        def merge(self, other: Any) -> None:
            self.value = other.value

        def finish(self):  # type: ignore[no-untyped-def]
            return self.value

    return udfvm.aggregate(input_types=[type_], output_type=type_)(Last)


@functools.cache
def last_of_columns(type_: pa.DataType) -> udfvm.AggregateFunction:
    class LastOfColumns:
        def __init__(self) -> None:
            self.value: Any = None

        def step(self, x):  # type: ignore[no-untyped-def]
            self.value = x[-1].as_py()

        def finish(self):  # type: ignore[no-untyped-def]
            return self.value

    return udfvm.aggregate(vectorized=True, input_types=[type_], output_type=type_)(LastOfColumns)
