"""Results of functions as the types that an engine reads."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import convert
from udfvm.types.encodings import decoded


def readable(engine: str, function: str, column: Any, type_: Any) -> Any:
    """Returns an array or chunked array as the type that an engine reads. Raises TypeMappingError
    for a value that this has not.

    >>> runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    >>> readable("DuckDB", "f", runs, pa.string()).to_pylist()
    ['a', 'a', 'b']
    """
    if column.type == type_:
        return column
    try:
        has_runs = "run_end_encoded<" in str(column.type)  # which Arrow does not cast
        return (decoded_column(column) if has_runs else column).cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TypeMappingError(
            f"UDF {function!r}: {engine} has no such value of the result: {error}: return one that"
            f" {type_} has"
        ) from error


def decoded_column(column: Any) -> Any:
    """Returns an array or chunked array as an array without encodings and extension types.

    >>> decoded_column(pa.chunked_array([["a"], ["b"]]).dictionary_encode()).to_pylist()
    ['a', 'b']
    """
    type_ = decoded(column.type)
    if not isinstance(column, pa.ChunkedArray):
        return convert(column, type_)
    parts = [convert(each, type_) for each in column.chunks]
    return pa.concat_arrays(parts) if parts else pa.array([], type_)
