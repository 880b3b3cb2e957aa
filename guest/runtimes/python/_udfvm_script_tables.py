"""Tables that a script leaves, as Arrow streams of types that the host knows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from _udfvm_column_streams import stream_of_type
from _udfvm_nested import type_name


def described(name: str, value: Any) -> tuple[dict[str, Any], list[pa.Buffer]]:
    """Returns names and types of the columns of a table, and the stream of each column.

    Raises TypeError, which names the table, for what is no table after all.
    """
    try:
        table = _table_of(value)
        columns = [_plain_column(column) for column in table.columns]
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise TypeError(f"{name} of the script cannot leave as a table: {error}") from None
    streams = [stream_of_type(column.type).packed(column) for column in columns]
    return {
        "columns": [
            [str(label), type_name(column.type)]
            for label, column in zip(table.schema.names, columns, strict=True)
        ],
        "rows": table.num_rows,
    }, streams


def _table_of(value: Any) -> pa.Table:
    module, name = type(value).__module__.partition(".")[0], type(value).__name__
    if name == "LazyFrame":
        value, name = value.collect(), "DataFrame"
    if module == "pandas" and name == "DataFrame":
        return _frame_table(value)
    if module == "pandas" and name == "Series":
        return _frame_table(value.to_frame("value" if value.name is None else value.name))
    if name == "RecordBatch":
        return pa.Table.from_batches([value])
    if name in ("Table", "DataFrame"):
        return value if module == "pyarrow" else value.to_arrow()
    return _column_table(value)


def _frame_table(frame: Any) -> pa.Table:
    """Returns a frame of pandas as a table. An index with a name, or of anything but integers, is
    among its columns.
    """
    index = frame.index
    if (
        any(each is not None for each in index.names)
        or getattr(index.dtype, "kind", "O") not in "iu"
    ):
        frame = frame.reset_index()
    return pa.Table.from_pandas(
        frame.set_axis(list(map(str, frame.columns)), axis=1), preserve_index=False
    )


def _column_table(value: Any) -> pa.Table:
    """Returns a column as a table: of its name, or else ``value``."""
    if getattr(value, "ndim", 1) == 2:  # of numpy
        return pa.table({str(index): column for index, column in enumerate(value.T)})
    name = getattr(value, "name", None)
    column = value.to_arrow() if hasattr(value, "to_arrow") else pa.array(value)
    return pa.table({"value" if name in (None, "") else str(name): column})


def _plain_column(column: pa.ChunkedArray) -> pa.Array:
    """Returns a column in one piece, of a type without encodings, extensions and names of items."""
    wanted = _plain(column.type)
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
    if isinstance(whole, pa.ExtensionArray):
        whole = whole.storage
    if whole.type == wanted:
        return whole
    try:
        return whole.cast(wanted)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array(whole.to_pylist(), wanted)


def _plain(type_: pa.DataType) -> pa.DataType:
    """Returns the type that values of a type travel as. Raises TypeError."""
    name = str(type_)
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(type_.storage_type)
    if pa.types.is_dictionary(type_) or name.startswith("run_end_encoded<"):
        return _plain(type_.value_type)
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, _plain(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(_plain(type_.key_type), _plain(type_.item_type))
    if "list" in name.partition("<")[0]:
        return _plain_list(type_, name)
    if pa.types.is_union(type_):
        raise TypeError(f"a column of the type {type_}: make it text or a struct")
    return {"string_view": pa.large_string(), "binary_view": pa.large_binary()}.get(name, type_)


def _plain_list(type_: pa.DataType, name: str) -> pa.DataType:
    item = _plain(type_.value_type)
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(item, type_.list_size)
    return pa.large_list(item) if name.startswith("large_") else pa.list_(item)
