"""Vectorised functions: whole columns in, one column out.

Rows with a null in a parameter that is not nullable are taken out before the call and are null in
the result, so the function sees only rows with values. If a parameter allows None, pyarrow arrays
have the nulls. Numpy arrays have NaN (floats), NaT (dates and times) or, in an object array, None
(all others); so have the arrays that lists are in them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import _udfvm_agent
import pyarrow as pa
import pyarrow.compute as pc
from _udfvm_numpy_columns import to_numpy
from _udfvm_numpy_conversions import numpy_type
from _udfvm_returned import returned_column
from _udfvm_stream import Stream
from _udfvm_unions import null_count
from _udfvm_value_types import storage_of
from _udfvm_warmup import repeat, repeat_sample

Container = Callable[[pa.Array], Any]  # makes what the function receives of a column


class VectorizedFunction:
    """A function and the form in which it receives each column."""

    def __init__(
        self,
        function: Callable[..., object],
        nullable: Sequence[bool],
        containers: Sequence[Container],
        stream: Stream,
    ) -> None:
        self._function = function
        self._nullable = tuple(nullable)
        self._containers = tuple(containers)
        self._stream = stream
        self._has_unions = any(map(pa.types.is_union, stream.schema.types))

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """Returns the result column for a batch."""
        columns = batch.columns
        for column, nullable in zip(columns, self._nullable, strict=True):
            if not nullable and column.null_count:
                return self._call_without_nulls(columns, batch.num_rows)
        if self._has_unions and any(
            not nullable and null_count(column)
            for column, nullable in zip(columns, self._nullable, strict=True)
        ):
            return self._call_without_nulls(columns, batch.num_rows)
        return self._call(columns, batch.num_rows)

    def finish(self, value: object, rows: int) -> tuple[int, int]:
        """Writes the returned column for a number of rows."""
        return self._stream.write(returned_column(value, self._stream.type, rows))

    def native(self) -> _udfvm_agent.NumbersFunction | None:
        """Returns the same in C, for arrays of numbers, of numpy or pyarrow; None if a column is
        something else.
        """
        if self._stream.native is None:
            return None
        numpy: Any = sys.modules.get("numpy")
        columns = []
        for container, type_ in zip(self._containers, self._stream.schema.types, strict=True):
            column = _number_column(container, type_, numpy)
            if column is None:
                return None
            columns.append((storage_of(str(type_)), *column))
        result = self._stream.type
        format_ = _FORMATS.get(str(result))
        return _udfvm_agent.NumbersFunction(
            self._function,
            tuple(columns),
            format_ or "\0",
            self._stream.storage,
            (None, None) if numpy is None else (numpy.frombuffer, numpy.ndarray),
            (
                pa.Array._import_from_c,
                pa.Array._export_to_c,
                type(pa.nulls(0, result)) if format_ else None,
            ),
            self.finish,
        )

    def _call(self, columns: Sequence[pa.Array], rows: int) -> pa.Array:
        arguments = [
            container(column) for container, column in zip(self._containers, columns, strict=True)
        ]
        return returned_column(self._function(*arguments), self._stream.type, rows)

    def _call_without_nulls(self, columns: Sequence[pa.Array], rows: int) -> pa.Array:
        valid: Any = None
        for column, nullable in zip(columns, self._nullable, strict=True):
            if not nullable:
                present = column.is_valid()
                valid = present if valid is None else pc.and_(valid, present)
        if not valid.true_count:
            return pa.nulls(rows, self._stream.type)
        values = self._call([column.filter(valid) for column in columns], valid.true_count)
        indices = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
        return values.take(pc.if_else(valid, indices, None))


def _number_column(container: Container, type_: pa.DataType, numpy: Any) -> tuple[Any, bool] | None:
    """Returns the type of the arrays that a function gets of a column, and whether they are
    pyarrow's; None for columns that are not of numbers.
    """
    if container is _as_it_is and str(type_) in _FORMATS:
        return type_, True
    name = numpy_type(type_) if numpy is not None and container is to_numpy else None
    return (numpy.dtype(name), False) if name else None


# Formats of numbers in the struct module.
_FORMATS: Final = {
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "l",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "L",
    "float": "f",
    "double": "d",
}


def load(
    function: Callable[..., object],
    metadata: dict[str, Any],
    stream: Stream,
    warm: bytes,
    sample: bytes,
) -> VectorizedFunction:
    """Makes a function ready to be called: everything that it sets up on first use is set up.

    It runs on the sample. Without one it runs on an empty batch, and exceptions are ignored then: a
    function need not support one. `warm` is a batch for functions of our own, which run through the
    code that calls use.
    """
    nullable = [parameter["nullable"] for parameter in metadata["parameters"]]
    containers = containers_of(metadata)
    loaded = VectorizedFunction(function, nullable, containers, stream)
    _warm_up(stream, containers, pa.py_buffer(warm))
    if sample:
        batch = stream.read(pa.py_buffer(sample))
        repeat_sample(lambda: stream.write(loaded(batch)))
    else:
        columns = [pa.nulls(0, type_) for type_ in stream.schema.types]
        with contextlib.suppress(BaseException):
            stream.write(loaded(pa.RecordBatch.from_arrays(columns, schema=stream.schema)))
    return loaded


def _warm_up(stream: Stream, containers: Sequence[Container], warm: pa.Buffer) -> None:
    count = len(stream.schema)
    used: list[Sequence[Container]] = [[_as_it_is] * count]
    if "numpy" in sys.modules:
        used.append([to_numpy] * count)
    if any(container not in (_as_it_is, to_numpy) for container in containers):
        used.append(containers)

    def internal(*columns: Any) -> Any:
        return pa.nulls(len(columns[0]), stream.type)

    for nullable in (True, False):
        for each in used:
            function = VectorizedFunction(internal, [nullable] * count, each, stream)
            repeat(lambda: stream.write(function(stream.read(warm))))  # noqa: B023 - runs in this turn of the loop


def containers_of(metadata: Mapping[str, Any]) -> list[Container]:
    """Returns the conversion of each parameter's column to what the function receives."""
    return [_container_of(each["container"], each["name"]) for each in metadata["parameters"]]


def _container_of(container: str, name: str) -> Container:
    if container in ("pandas", "polars"):
        import _udfvm_series

        return _udfvm_series.to_series(container, name)
    return to_numpy if container == "numpy" else _as_it_is


def _as_it_is(column: pa.Array) -> pa.Array:
    return column
