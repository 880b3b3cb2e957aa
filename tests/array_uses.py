"""Everything that users do with arrays; each use is printed before it begins."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from udfvm.codec.containers import to_masked
from udfvm.codec.pandas_columns import Backend, series_of
from udfvm.types.encodings import restored
from udfvm.types.nested_conversions import columns_of
from udfvm.types.unions import has_unions, parts_of


def _flat(array: pa.Array) -> Any:
    while array.type.num_fields:
        if pa.types.is_map(array.type):
            array = array.values
        if pa.types.is_union(array.type):
            array = parts_of(array)[-1][1]
        elif pa.types.is_struct(array.type):
            array = columns_of(array)[0]  # pyarrow ends the process, where they hold unions
        else:
            array = array.flatten()
    return array.to_pylist()


def _wider(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(type_):
        return pa.struct(
            [
                (field.name, _wider(field.type))
                for field in (type_.field(index) for index in range(type_.num_fields))
            ]
        )
    if pa.types.is_union(type_):
        return type_
    if pa.types.is_map(type_):
        return pa.map_(_wider(type_.key_type), _wider(type_.item_type))
    if type_.num_fields:
        return pa.large_list(_wider(type_.value_type))
    return {
        "string": pa.large_string(),
        "binary": pa.large_binary(),
        "date32[day]": pa.date64(),
    }.get(str(type_), type_)


def _ipc(array: pa.Array) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(
        sink, pa.schema([("r", array.type)]), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_batch(pa.record_batch([array], names=["r"]))
    return pa.ipc.open_file(sink.getvalue()).read_all().to_pylist()


def _parquet(array: pa.Array) -> Any:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"r": array}), file)
    return pyarrow.parquet.ParquetFile(file).read().to_pylist()


def _duckdb(array: pa.Array) -> Any:
    rows = pa.table({"r": array})  # noqa: F841 - which the query names
    return duckdb.execute(
        "SELECT r, r::VARCHAR, count(*) OVER (PARTITION BY r) FROM rows ORDER BY r"
    ).fetchall()


def _polars(array: pa.Array) -> Any:
    series = pl.Series("r", pl.from_arrow(array))
    frame = series.to_frame()
    listed = isinstance(series.dtype, (pl.List, pl.Array))
    return (
        series.to_list(),
        frame.explode("r") if listed else frame.sort("r"),
        frame.unique(),
        series.to_arrow(),
        str(series),
    )


def _pandas(array: pa.Array) -> None:
    for backend in Backend:
        str(series_of("f", array, backend))


def _encoded(array: pa.Array) -> None:
    """What travelled becomes what was declared: its encodings are made of it."""
    type_ = array.type
    forms = [pa.dictionary(pa.int32(), type_), pa.run_end_encoded(pa.int32(), type_)]
    if pa.types.is_large_string(type_) or pa.types.is_large_binary(type_):
        forms.append(pa.string_view() if pa.types.is_large_string(type_) else pa.binary_view())
    if pa.types.is_list(type_):
        forms.append(pa.list_view(type_.value_field))
    if pa.types.is_large_list(type_):
        forms.append(pa.large_list_view(type_.value_field))
    for form in forms:
        made = restored(array, form)
        made.validate(full=True)
        assert repr(made.to_pylist()) == repr(array.to_pylist())


USES: dict[str, Callable[[pa.Array], Any]] = {
    "to_pylist": lambda array: array.to_pylist(),
    "to_numpy": lambda array: array.to_numpy(zero_copy_only=False),
    "to_pandas": lambda array: pa.table({"r": array}).to_pandas().to_string(),
    "flatten": _flat,
    "cast": lambda array: array.cast(_wider(array.type)).validate(full=True),
    "take": lambda array: array.take(pa.array([len(array) - 1, 0, None])).validate(full=True),
    "filter": lambda array: array.filter(
        pa.array([index % 2 == 0 for index in range(len(array))])
    ).validate(full=True),
    "concat": lambda array: pa.concat_arrays([array.slice(1), array, array.slice(0, 0)]).validate(
        full=True
    ),
    "string": str,
    "ipc": _ipc,
    "parquet": _parquet,
    "polars": _polars,
    "duckdb": _duckdb,
    "pandas": _pandas,
    "encoded": _encoded,
    "masked": lambda array: str(to_masked("f", array)),
}


# Types that a library does not have at all.
LACKING: dict[str, tuple[str, ...]] = {
    "duckdb": ("halffloat", "decimal256(40, 3)"),
    "polars": ("decimal256(40, 3)", "month_day_nano_interval"),
    "parquet": ("month_day_nano_interval",),
}
NO_UNIONS = ("to_numpy", "to_pandas", "parquet", "polars", "duckdb")


def _lacks(use_name: str, type_: pa.DataType) -> bool:
    if has_unions(type_):
        return use_name in NO_UNIONS
    return str(type_) in LACKING.get(use_name, ())


# Other libraries take the chunks of a column one by one, and have their cost by call.
OF_COLUMNS = ("to_pandas", "parquet", "polars", "duckdb")


def use(array: pa.Array, name: str, *, honest: bool = False) -> None:
    """Does everything with an array. Exceptions are an answer too, but for the values of an honest
    guest.
    """
    for use_name in USES:
        _is_used(array, use_name, name, honest and not _lacks(use_name, array.type))


def use_many(arrays: dict[str, pa.Array]) -> None:
    """Does everything with the arrays of these names, which are of one type: libraries get them as
    the chunks of one column, or each by itself if they refuse one of its values. What a library
    lacks as a type it refuses whatever the values are.
    """
    for use_name in USES:
        type_ = next(iter(arrays.values())).type
        if use_name in OF_COLUMNS and _lacks(use_name, type_):
            continue
        whole = pa.chunked_array(list(arrays.values()), type_)
        if use_name in OF_COLUMNS and _is_used(whole, use_name, ", ".join(arrays)):
            continue
        for name, array in arrays.items():
            _is_used(array, use_name, name)


def _is_used(
    array: pa.Array | pa.ChunkedArray, use_name: str, name: str, honest: bool = False
) -> bool:
    """Returns False for an exception; raises it if the values are those of an honest guest."""
    print(f"{name}: {use_name}", flush=True)
    try:
        USES[use_name](array)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - a value may be none of that library's
        if honest:
            raise
        return False
    return True


def contents(array: pa.Array) -> list[bytes | None]:
    """All bytes of an array."""
    return [None if buffer is None else buffer.to_pybytes() for buffer in array.buffers()]
