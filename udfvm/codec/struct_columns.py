"""Streams and tables in the place of a column. A table is a column of structs, or its only
column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import wrong_type
from udfvm.codec.remedies import plain
from udfvm.errors import TypeMappingError
from udfvm.texts import listed
from udfvm.types.arrow_types import Kind
from udfvm.types.nested_conversions import table_of_structs

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter


def column_in_table(
    function: str, parameter: Parameter, table: pa.Table | pa.RecordBatch, found: str
) -> pa.Array | pa.ChunkedArray:
    """Returns a table or record batch as the column for a parameter. ``found`` is what the caller
    calls the table. Raises TypeMappingError where it has several columns, and the parameter is no
    struct of them.
    """
    names, types = table.column_names, table.schema.types
    may_be_only = parameter.type.kind is not Kind.STRUCT or not all(map(_is_leaf, types))
    chosen = chosen_columns(function, parameter, names, found, may_be_only=may_be_only)
    if isinstance(chosen, str):
        return table.column(0)
    return table.select(chosen).to_struct_array()


def _is_leaf(type_: pa.DataType) -> bool:
    """Whether a column cannot be the structs themselves."""
    return not (pa.types.is_nested(plain(type_)) or pa.types.is_null(plain(type_)))


def chosen_columns(
    function: str,
    parameter: Parameter,
    names: Sequence[str],
    found: str,
    *,
    may_be_only: bool = True,
) -> str | list[str]:
    """Returns the columns of a table that make the structs of a parameter, in order; or the name of
    its only column, where ``may_be_only``. Raises TypeMappingError.
    """
    if parameter.type.kind is Kind.STRUCT:
        type_ = parameter.type.arrow
        fields = [type_.field(index).name for index in range(type_.num_fields)]
        if sorted(fields) == sorted(names):
            return fields
    if len(names) == 1 and may_be_only:
        return names[0]
    raise too_many(function, parameter, names, found)


def too_many(
    function: str, parameter: Parameter, names: Sequence[object], found: str
) -> TypeMappingError:
    """Returns the error for a table that is not a column for a parameter."""
    if parameter.type.kind is Kind.STRUCT:
        return wrong_type(function, parameter, _not_the_fields(parameter, names, found))
    first = f", such as {names[0]!r}" if names else ""
    return wrong_type(
        function,
        parameter,
        f"a {found} of {len(names)} columns: pass one of them{first}, or call {function}.map()"
        " with it",
    )


def _not_the_fields(parameter: Parameter, names: Sequence[object], found: str) -> str:
    """Returns how the columns of a table differ from the fields of a struct."""
    fields = [field.name for field in parameter.type.arrow]
    missing = [repr(each) for each in fields if each not in names]
    more = [repr(each) for each in names if each not in fields]
    wrong = [f"without {listed(missing, 'and')}"] if missing else []
    wrong += [f"with {listed(more, 'and')}, which it has not"] if more else []
    return (
        f"a {found} of other columns than its fields ({', '.join(wrong) or 'some twice'}):"
        " pass one with a column for each field, or a column of structs, as"
        " table.select([...]).to_struct_array() of pyarrow makes one"
    )


CAPSULES: Final = ("__arrow_c_stream__", "__arrow_c_array__", "__arrow_c_device_array__")


def imported(value: Any) -> pa.ChunkedArray:
    """Returns what has one of ``CAPSULES``, without empty chunks: pyarrow imports some of them with
    an offset beyond their buffers. Raises ValueError for data in the memory of a device.
    """
    class_ = type(value)  # asking a Series of polars for what it has not takes long
    if any(hasattr(class_, name) for name in CAPSULES[1:]):
        array = pa.array(value)
        if not getattr(array, "is_cpu", True):
            raise ValueError("they are in the memory of a device: copy them to the processor's")
        column = pa.chunked_array([array])
    else:
        column = pa.chunked_array(value)
    chunks = column.chunks
    if all(map(len, chunks)):
        return column
    return pa.chunked_array([chunk for chunk in chunks if len(chunk)], column.type)


def column_in_structs(
    function: str, parameter: Parameter, column: pa.ChunkedArray, found: str
) -> pa.Array | pa.ChunkedArray:
    """Returns a column that a producer gave, or the only column in it where it is a record batch:
    which Arrow hands over as structs. Raises TypeMappingError.
    """
    if not pa.types.is_struct(column.type):
        return column
    if parameter.type.kind is Kind.STRUCT and column.null_count:
        return column  # a record batch has no rows that are null
    return column_in_table(function, parameter, table_of_structs(column), found)
