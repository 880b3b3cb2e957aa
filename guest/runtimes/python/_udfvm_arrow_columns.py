"""Column batches as pyarrow arrays: requests as views of the input window, and results from the
buffers of an array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import _udfvm_agent
import pyarrow as pa
from _udfvm_agent import STATUS_OK
from _udfvm_arguments import Parameter
from _udfvm_column_casts import cast_column
from _udfvm_column_types import column_type
from _udfvm_conversions import Loss
from _udfvm_nested import holds_others, type_name
from _udfvm_nested_batch import from_json, to_json
from _udfvm_slots import column_slot, result_slot

_Buffers = tuple[int, object, object, object]


def view(
    buffers: tuple[int, int, int, int] | pa.Array | None, declared: pa.DataType, rows: int
) -> pa.Array:
    """Returns a column of a request as the declared type."""
    if buffers is None:
        return pa.nulls(rows, declared)
    if isinstance(buffers, pa.Array):  # a stream of the declared type
        return buffers
    type_ = pa.type_for_alias(column_type(str(declared)))
    validity, offsets, data, length = buffers
    bitmap = pa.foreign_buffer(validity, (rows + 7) // 8) if validity else None
    if offsets:
        arrow = [
            bitmap,
            pa.foreign_buffer(offsets, 8 * (rows + 1)),
            pa.foreign_buffer(data, length),
        ]
    else:
        arrow = [
            bitmap,
            pa.foreign_buffer(data, (rows + 7) // 8 if pa.types.is_boolean(type_) else 8 * rows),
        ]
    column = pa.Array.from_buffers(type_, rows, arrow, -1 if bitmap else 0)
    if holds_others(declared):
        return from_json(column, declared)
    return cast_column(column, declared)


def column_buffers(column: pa.Array) -> _Buffers | list[Any]:
    """Returns the buffers of a result, for ColumnBatch.write()."""
    if not len(column):
        return []
    stored = (
        to_json(column)
        if holds_others(column.type)
        else cast_column(column, pa.type_for_alias(column_type(str(column.type))))
    )
    if stored.offset:  # buffers must begin at the first row
        stored = pa.concat_arrays([stored, stored.slice(0, 0)])
    buffers = stored.buffers()
    return stored.null_count, buffers[0], buffers[1] if len(buffers) == 3 else None, buffers[-1]


def arguments(
    buffers: Sequence[tuple[int, int, int, int] | pa.Array | None],
    types: Sequence[pa.DataType],
    parameters: Sequence[Parameter],
    rows: int,
) -> list[pa.Array]:
    """Returns the columns of a request. Raises WrongArgument."""
    columns = []
    for each, declared, parameter in zip(buffers, types, parameters, strict=True):
        try:
            columns.append(view(each, declared, rows))
        except Loss as loss:
            vars(loss)["of_argument"] = f"is {loss}"
            raise parameter.refuse(loss, -1 if loss.row is None else loss.row) from None
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise parameter.refuse(error, vars(error).get("row", -1)) from None
    return columns


def vectorized_columns(
    call: Callable[[pa.RecordBatch], pa.Array],
    schema: pa.Schema,
    result: str,
    parameters: Sequence[Parameter],
) -> Callable[[], tuple[int, int]]:
    """Returns what answers COLUMNS for a vectorised function."""
    slots = tuple(column_slot(type_name(type_), True) for type_ in schema.types)
    columns = _udfvm_agent.ColumnBatch(slots, (result_slot(result, True),))

    def answer() -> tuple[int, int]:
        rows, buffers = columns.buffers(0)
        arrays = arguments(buffers, schema.types, parameters, rows)
        column = call(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return STATUS_OK, columns.write(rows, [column_buffers(column)], 0)

    return answer
