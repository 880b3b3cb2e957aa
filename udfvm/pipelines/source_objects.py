"""Objects of Python and of other libraries as sources: frames, mappings, streams, batches."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from udfvm.codec.pandas_columns import table_of
from udfvm.codec.polars_columns import check_frame, is_mine
from udfvm.codec.struct_columns import CAPSULES, imported
from udfvm.errors import TypeMappingError
from udfvm.pipelines.columns import several_columns
from udfvm.pipelines.source_rows import Source, of_table

#: Names of columns that may be read; None for all.
Wanted = frozenset[str] | None

_IN_DEVICE: Final = "it is in the memory of a device: copy it to the processor's"


# ---- Frames ----


def of_pandas(function: str, source: Any, wanted: Wanted, *, with_index: bool) -> Source:
    """Opens a DataFrame, or a Series as a frame of one column. Raises TypeMappingError, and
    OptionError for two columns of a name.

    ``with_index`` is False where the index is needed only if ``wanted`` names it.
    """
    frame = source
    if not hasattr(source, "columns"):
        if not isinstance(source.name, str):
            raise _one_column(function, source, "series.to_frame('x')")
        frame = source.to_frame()
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    twice = twice if wanted is None else [name for name in twice if name in wanted]
    if twice:
        raise several_columns(function, twice[0], "frame.set_axis(names, axis=1)", names)
    if not with_index and wanted is not None and wanted.isdisjoint(frame.index.names):
        frame = frame.reset_index(drop=True)
    opened = of_table(table_of(function, frame, wanted))
    return _with_others(names, wanted, opened)._replace(is_frame=True)


def of_polars(function: str, source: Any, wanted: Wanted) -> Source | None:
    """Opens a DataFrame, or a Series as a frame of one column. Raises TypeMappingError."""
    frame = source
    if not hasattr(source, "to_struct"):
        if hasattr(source, "struct") and str(source.dtype).startswith("Struct"):
            frame = source.struct.unnest()
        elif not source.name:
            raise _one_column(function, source, "series.to_frame('x')")
        else:
            frame = source.to_frame()
    names = list(frame.columns)
    if wanted is not None:
        frame = frame.select([name for name in names if name in wanted])
    check_frame(function, frame)
    if not frame.columns:
        return _with_others(names, wanted, of_table(pa.table({})))._replace(rows=frame.height)
    return _with_others(names, wanted, of_table(pa.table(frame)))


def _with_others(names: Sequence[str], wanted: Wanted, opened: Source) -> Source:
    """Returns a source that has columns, too, which nothing reads."""
    if wanted is None:
        return opened
    table = set(opened.schema.names)
    others = [pa.field(name, pa.null()) for name in names if name not in table]
    schema = pa.schema([*opened.schema, *others], metadata=opened.schema.metadata)
    return opened._replace(schema=schema)


# ---- Mappings ----


def of_mapping(function: str, source: Mapping[Any, Any], wanted: Wanted) -> Source:
    """Opens a mapping of lists, arrays or Series, by column. Raises TypeMappingError."""
    if not source or not all(isinstance(name, str) for name in source):
        raise TypeMappingError(
            f"UDF {function!r}: the source of map(), a {type(source).__name__}, needs the names of"
            f" columns as its keys; it has {', '.join(map(repr, source)) or 'none'}"
        )
    chosen = {name: each for name, each in source.items() if wanted is None or name in wanted}
    columns = {name: _column(function, name, values) for name, values in chosen.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise TypeMappingError(
                f"UDF {function!r}: the source of map() has {lengths[first]} rows in its column"
                f" {first!r}, and {length} in {name!r}"
            )
    return _with_others(list(source), wanted, of_table(pa.table(columns)))


def _column(function: str, name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    reason: object = f"a {type(values).__name__} is no column"
    if is_mine(values) and hasattr(values, "to_frame"):
        check_frame(function, values.to_frame(name))
    try:
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            return values
        if any(hasattr(values, each) for each in CAPSULES) and not hasattr(values, "iloc"):
            return imported(values)
        if hasattr(values, "__len__") and not isinstance(values, (str, bytes, Mapping)):
            return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = error
    raise TypeMappingError(
        f"UDF {function!r}: column {name!r} of the source of map() cannot be read as an Arrow"
        f" array: {reason}: pass a pyarrow.array of one type, or leave it out by keep="
    )


# ---- Streams ----


def of_capsules(function: str, source: Any) -> Source | None:
    """Opens what has Arrow's PyCapsule interface; returns None for others. Raises
    TypeMappingError.
    """
    try:
        if hasattr(source, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(source)
            return Source(reader.schema, None, lambda _: _closing(reader))
        if any(hasattr(source, each) for each in CAPSULES):
            batch = pa.record_batch(source)
            if not getattr(batch, "is_cpu", True):
                raise pa.ArrowInvalid(_IN_DEVICE)
            return of_table(pa.Table.from_batches([batch]))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        if _is_column(source) or "non-struct" in str(error):
            raise _one_column(function, source, "pyarrow.table({'x': array})") from error
        raise TypeMappingError(
            f"UDF {function!r}: the source of map(), a {type(source).__name__}, cannot be read as a"
            f" table of Arrow: {error}"
        ) from error
    return None


def _closing(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with reader:
        yield from reader


def of_batches(first: pa.RecordBatch | pa.Table, others: Iterator[Any]) -> Source:
    """Opens record batches and tables, which come one after the other."""

    def read(_: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from _batches(first)
        for each in others:
            yield from _batches(each)

    return Source(first.schema, None, read)


def _batches(item: Any) -> Iterator[Any]:
    if isinstance(item, pa.Table):
        yield from item.to_reader()
    else:
        yield item


# ---- What is no source ----


def _is_column(source: object) -> bool:
    return isinstance(source, (pa.Array, pa.ChunkedArray))


def _one_column(function: str, source: object, advice: str) -> TypeMappingError:
    return TypeMappingError(
        f"UDF {function!r}: the source of map(), a {type(source).__name__}, has no columns with"
        f" names: pass a table, such as {advice}"
    )


def what_to_pass(function: str, source: Any, first: object = None) -> str:
    """Returns the error for an object that is no source. ``first`` is the first item in it."""
    found = type(source).__name__
    if isinstance(source, (list, tuple, Iterator)) and not isinstance(source, io.IOBase):
        if first is None:
            return (
                f"UDF {function!r}: the source of map(), a {found}, is empty, so its columns are"
                " not known: pass a pyarrow.RecordBatchReader, which has a schema"
            )
        found = f"a {found} of {type(first).__name__}"
    advice = _advice(source, first)
    return (
        f"UDF {function!r}: map() takes a pyarrow Table, RecordBatch, RecordBatchReader, Dataset,"
        " Scanner or ParquetFile, paths of Parquet files, record batches, a frame of pandas or"
        " polars, a dict of columns, or an object with __arrow_c_stream__; got"
        f" {found}{': ' if advice else ''}{advice}"
    )


def _advice(source: Any, first: object) -> str:
    if isinstance(first, Mapping):
        return "pass pyarrow.Table.from_pylist(rows)"
    if first is not None and any(hasattr(first, each) for each in CAPSULES):
        return "pass record batches, as (pyarrow.record_batch(each) for each in frames) are"
    if isinstance(source, (io.IOBase, pa.NativeFile)):
        return "pass its path, or pyarrow.parquet.ParquetFile(file)"
    if hasattr(source, "dtype"):
        if getattr(source.dtype, "names", None):
            return "pass {name: array[name] for name in array.dtype.names}"
        return "pass a table, such as pyarrow.table({'x': array})"
    methods = [each for each in ("collect", "compute") if hasattr(source, each)]
    return f"pass its .{methods[0]}()" if methods else ""
