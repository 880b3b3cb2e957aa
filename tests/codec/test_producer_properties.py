"""Random columns are the same column from every producer, and come back from it as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from capsule_producers import capsules
from hypothesis import given
from hypothesis import strategies as st
from nested_types import TYPES, checked, values

from udfvm.codec.arguments import columns_of
from udfvm.codec.casts import cast_argument
from udfvm.codec.containers import Container
from udfvm.codec.producers import taken
from udfvm.types.arrow_types import Parameter, declared

LEAVES = [
    pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
    pa.date32(), pa.timestamp("us", tz="UTC"),
]  # fmt: skip


def _pandas_arrow(array: pa.Array) -> Any:
    return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)), name="n")


def _pandas_objects(array: pa.Array) -> Any:
    return pd.Series(array.to_pylist(), dtype=object, index=range(5, 5 + len(array)))


PRODUCERS: dict[str, Callable[[pa.Array], Any]] = {
    "array": capsules,
    "stream": lambda array: capsules(pa.chunked_array([array, array[:0]])),
    "table": lambda array: pa.table({"x": array}),
    "batches": lambda array: capsules(pa.record_batch({"x": array})),
    "polars": lambda array: pl.Series("n", _unsliced(array)),
    "frame of polars": lambda array: pl.DataFrame({"x": _unsliced(array)}),
    "pandas, Arrow": _pandas_arrow,
    "pandas, objects": _pandas_objects,
    "index": lambda array: pd.Index(_pandas_arrow(array)),
    "frame": lambda array: pd.DataFrame({"x": _pandas_arrow(array)}),
    "masked": lambda array: np.ma.array(
        _objects(array), mask=array.is_null().to_numpy(zero_copy_only=False)
    ),
}


def _unsliced(array: pa.Array) -> pa.Array:
    """For polars, which refuses some slices of fixed-size lists."""
    return pa.array(array.to_pylist(), array.type)


def _objects(array: pa.Array) -> np.ndarray[Any, Any]:
    made = np.empty(len(array), dtype=object)
    made[:] = array.to_pylist()
    return made


@st.composite
def arrays(draw: st.DrawFn, type_: pa.DataType) -> pa.Array:
    held = pa.array(draw(st.lists(values(type_), max_size=12)), type_)
    start = draw(st.integers(0, len(held)))
    return held.slice(start, draw(st.integers(0, len(held) - start)))


def _without_nul(type_: pa.DataType) -> pa.DataType:
    """Names of fields end at a NUL in Arrow's C data interface."""
    if not pa.types.is_struct(type_):
        return type_
    return pa.struct([field for field in type_ if "\0" not in field.name])


@pytest.mark.parametrize("type_", [*LEAVES, *map(_without_nul, TYPES)], ids=str)
def test_columns_of_every_producer(type_: pa.DataType) -> None:
    parameter = Parameter("x", declared(type_), False, position=1)

    @checked
    @given(arrays(type_))
    def check(array: pa.Array) -> None:
        for name, producer in PRODUCERS.items():
            if "polars" in name and "[0]" in str(type_):
                continue  # polars panics at lists of size 0
            given_ = taken("f", [parameter], [producer(array)])
            columns, rows = columns_of("f", [parameter], given_.arguments)
            assert rows == len(array), name
            assert _whole(columns[0]).equals(array), name
            if given_.container is Container.ARRAY:
                back = given_.give_back(_unsliced(array))
                again = taken("f", [parameter], [back]) if _is_foreign(back) else None
                column = back if again is None else again.arguments[0]
                if isinstance(column, np.ndarray):
                    column = pa.array(column)
                assert _whole(cast_argument("f", parameter, column)).equals(array), name

    check()


def _is_foreign(value: object) -> bool:
    return not isinstance(value, (pa.Array, pa.ChunkedArray))


def _whole(column: Any) -> pa.Array:
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
