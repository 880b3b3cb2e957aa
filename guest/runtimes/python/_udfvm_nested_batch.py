"""Batches of scalar functions that take or return types for which C has no storage: they go through
pyarrow, a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import _udfvm_agent
import pyarrow as pa
from _udfvm_arguments import Parameter
from _udfvm_array_values import to_values
from _udfvm_nested import type_name
from _udfvm_nested_values import json_checked, json_writer, value_check
from _udfvm_report import report
from _udfvm_signature import Parameters
from _udfvm_slots import refuse_none
from _udfvm_stream import Stream
from _udfvm_unions import array_of
from _udfvm_value_types import in_pyarrow, value_type

_STORED: Final = {"date32[day]": pa.int32()}  # other dates and times are stored as int64


class NestedBatches:
    """Answers BATCH for a scalar function."""

    def __init__(
        self, function: Callable[..., object], metadata: dict[str, Any], stream: Stream
    ) -> None:
        self._function = function
        self._parameters = Parameters.of(metadata["parameters"]).in_errors
        self._required = [
            index
            for index, parameter in enumerate(metadata["parameters"])
            if not parameter["nullable"]
        ]
        check = value_check(metadata["result"])
        self._check = check if metadata["result_nullable"] else refuse_none(check)
        self._stream = stream
        self._row = -1

    def answer(self, batch: pa.RecordBatch) -> tuple[int, int]:
        """Answers a batch. The reply may be the report of an exception."""
        try:
            return self.run(batch)
        except BaseException as exception:  # noqa: BLE001 - the caller gets whatever the function raises
            return report(exception, self._row)

    def run(self, batch: pa.RecordBatch) -> tuple[int, int]:
        """Calls the function with each row, and writes the results."""
        self._row = -1
        columns = [
            values_of(column, parameter)
            for column, parameter in zip(batch.columns, self._parameters, strict=True)
        ]
        results = []
        for self._row, values in enumerate(
            zip(*columns, strict=True) if columns else [()] * batch.num_rows
        ):  # noqa: B020
            skip = any(values[index] is None for index in self._required)
            _udfvm_agent.begin_row()
            results.append(None if skip else self._check(self._function(*values)))
        self._row = -1
        return self._stream.write(array_of(results, self._stream.type))


def values_of(column: pa.Array, parameter: Parameter) -> list[Any]:
    """Returns the values of a column as a scalar function gets them. Raises WrongArgument."""
    values: list[Any] = []
    try:
        decode = None if in_pyarrow(parameter.type) else value_type(parameter.type).decode
        if decode is None:
            return to_values(column)
        stored = column.view(_STORED.get(parameter.type, pa.int64()))
        for value in stored.to_pylist():
            values.append(None if value is None else decode(value))  # noqa: PERF401 - its length is the row of a failure
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise parameter.refuse(error, len(values) if values or len(column) == 1 else -1) from None
    return values


def from_json(texts: pa.Array, declared: pa.DataType) -> pa.Array:
    """Parses a column of JSON to lists or structs. Errors have their row in ``row``."""
    read = json_checked(type_name(declared))
    values: list[Any] = []
    try:
        for text in texts.to_pylist():
            values.append(None if text is None else read(text))  # noqa: PERF401 - its length is the row of a failure
    except (TypeError, ValueError, OverflowError) as error:
        vars(error)["row"] = len(values)
        raise
    return array_of(values, declared)


def to_json(column: pa.Array) -> pa.Array:
    """Returns a column of lists or structs as JSON."""
    write = json_writer(type_name(column.type))
    texts: Sequence[str | None] = [
        None if value is None else write(value) for value in to_values(column)
    ]
    return pa.array(texts, pa.large_string())
