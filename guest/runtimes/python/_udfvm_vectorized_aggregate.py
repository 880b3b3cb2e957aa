"""Vectorised aggregates: step() and inverse() take columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from _udfvm_aggregate import Aggregate
from _udfvm_arrow_columns import arguments, view
from _udfvm_layouts import AGGREGATE
from _udfvm_signature import Parameters
from _udfvm_vectorized import containers_of


class VectorizedAggregate(Aggregate):
    """The groups of one call, for a class whose methods take columns."""

    def __init__(
        self, cls: type[Any], metadata: Mapping[str, Any], schemas: tuple[bytes, bytes]
    ) -> None:
        super().__init__(cls, metadata, schemas)
        asked = pa.ipc.read_schema(pa.py_buffer(schemas[0]))
        self._types = [pa.int64(), pa.bool_(), *asked.types]
        self._parameters = Parameters.of(metadata["parameters"]).in_errors
        self._containers = containers_of(metadata)

    def _in_c(self) -> None:
        return None

    def _take_rows(self) -> None:
        rows, buffers = self._columns.buffers(AGGREGATE.size)
        if not rows:
            return
        numbers, inverses = (
            view(each, type_, rows)
            for each, type_ in zip(buffers[:2], self._types[:2], strict=True)
        )
        columns = arguments(buffers[2:], self._types[2:], self._parameters, rows)
        distinct = pc.unique(numbers).to_pylist()
        if inverses.null_count == rows:  # no row leaves its group
            for number in distinct:
                chosen = (
                    columns
                    if len(distinct) == 1
                    else [column.filter(pc.equal(numbers, number)) for column in columns]
                )
                self._pass(number, False, chosen)
            return
        start = 0
        for (number, inverse), run in itertools.groupby(
            zip(numbers.to_pylist(), inverses.to_pylist(), strict=True)
        ):
            length = sum(1 for _ in run)
            self._pass(number, bool(inverse), [column.slice(start, length) for column in columns])
            start += length

    def _pass(self, number: int, inverse: bool, columns: Sequence[pa.Array]) -> None:
        group = self._group(number)
        arguments = [
            container(column) for container, column in zip(self._containers, columns, strict=True)
        ]
        (group.inverse if inverse else group.step)(*arguments)
