"""Columns as a Series of pandas or polars, for functions that are annotated so, and what these
return.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from _udfvm_nested import holds_others
from _udfvm_numpy_columns import to_numpy

# The masked dtypes of pandas, by types of Arrow. Integers and booleans with nulls need them: a
# float does not have every integer.
_MASKED: Final = {
    "bool": "boolean",
    **{f"int{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
}


def to_series(library: str, name: str) -> Callable[[pa.Array], Any]:
    """Returns what makes a Series of a column, with a name. The library is loaded: the base image
    imports it.
    """
    if library == "pandas":
        return lambda column: _to_pandas(column, name)
    from _udfvm_polars_types import for_polars

    polars: Any = sys.modules["polars"]
    return lambda column: polars.Series(name, for_polars(column, in_days=True))


def _to_pandas(column: pa.Array, name: str) -> Any:
    pandas: Any = sys.modules["pandas"]
    type_ = column.type
    masked = _MASKED.get(str(type_)) if column.null_count else None
    if holds_others(type_) or pa.types.is_interval(type_):
        series = pandas.Series(to_numpy(column), dtype=object)
    elif masked is None:
        series = column.to_pandas()
    else:
        dtype = pandas.api.types.pandas_dtype(masked)
        series = column.to_pandas(types_mapper=lambda _: dtype)
    series.name = name
    return series


def is_of_pandas(value: object) -> bool:
    """Returns True for a Series, Index or array of pandas."""
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return False
    return isinstance(value, (pandas.Series, pandas.Index, pandas.api.extensions.ExtensionArray))


def is_frame_of_pandas(value: object) -> bool:
    """Returns True for a DataFrame of pandas."""
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def from_capsules(value: Any) -> pa.Array | pa.ChunkedArray:
    """Returns what has Arrow's PyCapsule interface, such as a Series or DataFrame of polars, which
    is an array of structs.
    """
    polars: Any = sys.modules.get("polars")
    if polars is not None and isinstance(value, (polars.Series, polars.DataFrame)):
        _check_polars([value] if isinstance(value, polars.Series) else value.get_columns())
    dtypes = getattr(value, "dtypes", getattr(value, "dtype", ""))
    if any(
        "Object" in str(dtype) for dtype in (dtypes if hasattr(dtypes, "__iter__") else [dtypes])
    ):
        raise TypeError(
            f"the function returned a {type(value).__name__} of Python objects, which Arrow has no"
            " type for: cast it first"
        )
    return pa.array(value) if hasattr(value, "__arrow_c_array__") else pa.chunked_array(value)


def _check_polars(columns: list[Any]) -> None:
    """Raises TypeError for a Series at which polars would end the process."""
    from _udfvm_polars_types import BROKEN, is_broken

    for series in columns:
        if is_broken(series):
            raise TypeError(f"the function returned a polars Series of {series.dtype}{BROKEN}")
