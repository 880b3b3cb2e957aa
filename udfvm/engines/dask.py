"""Functions on frames and arrays of Dask: a call for each partition or block, where it is.

>>> import dask.dataframe as dd, pandas as pd
>>> @udfvm.udf
... def speed(distance: float, hours: float) -> float | None:
...     return distance / hours if hours else None
>>> flights = dd.from_pandas(pd.DataFrame({"distance": [300.0, 100.0], "hours": [2.0, 0.0]}))
>>> udfvm.dask.map_partitions(speed, flights, "distance", "hours").compute().to_list()
[150.0, nan]
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.checks import shown
from udfvm.codec.arguments import columns_of
from udfvm.codec.containers import Container, container_of, to_numpy
from udfvm.codec.pandas_columns import Backend, backend_of, series_of
from udfvm.engines.dask_tasks import Block, Rows, Values
from udfvm.engines.packages import load_package
from udfvm.errors import SignatureError, TypeMappingError, hides_frames
from udfvm.functions.integration import bound_arguments, calls_of, check_functions
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction
from udfvm.keywords import check_options
from udfvm.texts import listed
from udfvm.types.arrow_types import JSON

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.types.arrow_types import Type

_dask: Final = load_package("dask", engine="dask", package="dask", oldest="2026.8")
_frames: Final = load_package("dask.dataframe", engine="dask", package="dask", oldest="2026.8")
_arrays: Final = load_package("dask.array", engine="dask", package="dask", oldest="2026.8")
_pandas: Final = load_package("pandas", engine="dask", package="pandas", oldest="3.0")
_numpy: Final = load_package("numpy", engine="dask", package="numpy", oldest="1.26")

__all__ = ["map_partitions"]

_CALLER: Final = "udfvm.dask.map_partitions"
_ADVICE: Final = {
    "table": "{0!r} is a table function, which takes a frame, and labels of its columns",
    "aggregate": "{0!r} is an aggregate, which has one value for all rows: call {0} with columns"
    " that are computed",
}


def __dir__() -> list[str]:
    return sorted(__all__)


@hides_frames
def map_partitions(
    function: ScalarFunction | TableFunction, collection: Any, /, *arguments: Any, **keywords: Any
) -> Any:
    """Calls a function with each partition of a frame or Series of Dask, or each block of an array,
    when the result is computed.

    Each partition is a call, on the worker and thread that Dask runs it on. Names and dtypes of the
    result are known ahead, without a call. A function that goes to another process finds its image
    in the cache of that machine, or builds it: ``client.run(udfvm.prepare, function)`` does so
    ahead.

    Args:
        function: a scalar or vectorised function, or a table function.
        collection: a frame, a Series or an array of Dask.
        arguments, keywords: with a frame, for each parameter a text, which is the label of a
            column; a Series of Dask with the same partitions; or a value. None at all: columns with
            the names of the parameters. With a Series or an array, which is the first argument, the
            others: Series or arrays, or values. A table function takes labels, and ``keep=``:
            labels of columns that the result has, too.

    Returns:
        For a frame a Series with its index and the function's name; for a Series one with its
        index and name; for an array one of its shape. For a table function a frame with the kept
        columns and those of the function, whose index says which row each was made for.

    Raises:
        SignatureError: the function does not have a value for each row, or it is no function of
            micro-VMs.
        TypeMappingError: the frame has no such column, or the arguments do not fit.

    Computing raises what calls raise; the ``row`` of an error counts in its partition. A cancelled
    future, and a worker that closes, end the calls of their tasks.

    >>> import dask.array as da
    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> udfvm.dask.map_partitions(half, da.arange(4.0, chunks=2)).compute()
    array([0. , 0.5, 1. , 1.5])
    """
    check_functions(_CALLER, [function], None)
    is_frame = isinstance(collection, _frames.DataFrame)
    if not (is_frame or isinstance(collection, (_frames.Series, _arrays.Array))):
        raise SignatureError(
            f"{_CALLER} takes a frame, a Series or an array of Dask after the function; got"
            f" {shown(collection)}"
        )
    if isinstance(function, TableFunction) and is_frame:
        return _rows(function, collection, arguments, keywords)
    if not isinstance(function, ScalarFunction):
        raise SignatureError(f"{_CALLER}: {_ADVICE[function.form].format(function.name)}")
    if is_frame:
        from udfvm.engines.pandas import OfFrame

        given = OfFrame(collection).given(function, arguments, keywords)
        return _values(function, collection, given, function.name)
    given = bound_arguments(function, (collection, *arguments), keywords)
    if isinstance(collection, _arrays.Array):
        return _blocks(function, given)
    return _values(function, collection, given, collection.name)


# ---- Frames ----


def _values(function: ScalarFunction, collection: Any, given: Sequence[Any], name: Any) -> Any:
    """Returns the Series of a function's values. ``given`` has an argument for each parameter."""
    places = _places_of(function, given, (_frames.Series, _frames.DataFrame, _frames.Scalar))
    # Partitions come first: a task is made for each of them.
    places.sort(key=lambda place: isinstance(given[place], _frames.Scalar))
    parts = [given[place] for place in places]
    of_index = not parts or isinstance(parts[0], _frames.Scalar)
    if of_index:
        parts.insert(0, collection)
    _check_partitions(function, parts)
    ahead = [each._meta if place in places else each for place, each in enumerate(given)]
    meta = _column_ahead(function, ahead, collection._meta.index).rename(name)
    return _frames.map_partitions(
        Values(function, given, places, meta, of_index=of_index),
        *parts,
        meta=meta,
        enforce_metadata=False,
        transform_divisions=False,
    )


def _rows(
    function: TableFunction, frame: Any, labels: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    """Returns the frame of a table function's rows."""
    from udfvm.engines.pandas import OfFrame

    check_options(_CALLER, options, ("keep",))
    columns, keep = OfFrame(frame).labels_of(function, labels, options.get("keep", ()))
    names = columns or [each.name for each in function.parameters if each.name in frame.columns]
    needed = frame[list(dict.fromkeys([*names, *keep]))]
    meta = needed._meta[keep]
    for each in function.columns:
        meta[each.name] = _empty(function, each.type, Backend.NUMPY, has_nulls=each.nullable)
    return _frames.map_partitions(
        Rows(function, columns, keep, meta),
        needed,
        meta=meta,
        enforce_metadata=False,
        transform_divisions=False,
    )


def _check_partitions(function: Function, parts: Sequence[Any]) -> None:
    """Raises TypeMappingError for collections that have different partitions."""
    counts = [each.npartitions for each in parts if not isinstance(each, _frames.Scalar)]
    if len(set(counts)) > 1:
        raise TypeMappingError(
            f"UDF {function.name!r}: {_CALLER} takes columns with the same partitions; got columns"
            f" with {counts[0]} and {next(each for each in counts if each != counts[0])} of them:"
            " repartition one, or join the frames by their index"
        )


def _column_ahead(function: ScalarFunction, ahead: Sequence[Any], index: Any) -> Any:
    """Returns the Series of a function's values for no rows, without a call. ``ahead`` are the
    arguments, without their rows. Raises TypeMappingError for arguments of other types.
    """
    parameters = calls_of(function, len(ahead)).declaration.parameters
    columns = [each for each in ahead if isinstance(each, (_pandas.Series, _pandas.DataFrame))]
    if columns:
        columns_of(function.name, parameters, ahead, vectorized=function.vectorized)
    frames = [each.iloc[:, 0] if hasattr(each, "columns") else each for each in columns]
    backend = backend_of(frames[0].dtype) if frames else Backend.NUMPY
    skips = any(
        not parameter.nullable and not _is_full(each)
        for parameter, each in zip(parameters, ahead, strict=True)
    )
    result = function.result
    empty = _empty(function, result.type, backend, has_nulls=result.nullable or skips)
    return empty.set_axis(index)


def _empty(function: Function, type_: Type, backend: Backend, *, has_nulls: bool) -> Any:
    """Returns a column of results, without its rows. ``has_nulls``: there may be nulls, for which
    pandas may have another dtype.
    """
    if type_ == JSON and backend is not Backend.ARROW:
        return _pandas.Series([], dtype=object)
    some = pa.array([None] * has_nulls, type_.as_declared)
    empty = series_of(function.name, some, backend).iloc[:0]
    if type(empty.dtype).__name__ == "CategoricalDtype":
        return _frames.utils.clear_known_categories(empty)  # each partition has others
    return empty


def _is_full(ahead: Any) -> bool:
    """Returns True for a value that is not null, and for a column that cannot have nulls."""
    if isinstance(ahead, _pandas.DataFrame):
        return False
    if isinstance(ahead, _pandas.Series):
        return getattr(ahead.dtype, "kind", "") in "biu" and hasattr(ahead.dtype, "char")
    return ahead is not None


def _places_of(
    function: Function, given: Sequence[Any], kinds: type[Any] | tuple[type[Any], ...]
) -> list[int]:
    """Returns the places of arguments that are of some collections of Dask. Raises
    TypeMappingError for other collections, and for columns in memory.
    """
    found = []
    for place, each in enumerate(given):
        if isinstance(each, kinds):
            found.append(place)
        elif _dask.is_dask_collection(each) or container_of(each) is not Container.SCALAR:
            raise TypeMappingError(
                f"UDF {function.name!r}: {_CALLER} takes columns of the same frame, arrays of the"
                f" same shape, and values; got {shown(each)}"
            )
    return found


# ---- Arrays ----


def _blocks(function: ScalarFunction, given: Sequence[Any]) -> Any:
    """Returns the array of a function's values. ``given`` has an argument for each parameter."""
    places = _places_of(function, given, _arrays.Array)
    arrays = [given[place] for place in places]
    dimensions = max(each.ndim for each in arrays)
    if dimensions != 1 and not function.elementwise:
        raise SignatureError(
            f"UDF {function.name!r}: {_CALLER} takes an array of {dimensions} dimensions for scalar"
            " functions, and for vectorised ones that are declared elementwise=True"
        )
    ahead = [_without_rows(each) if place in places else each for place, each in enumerate(given)]
    parameters = calls_of(function, len(ahead)).declaration.parameters
    columns_of(function.name, parameters, ahead, vectorized=function.vectorized)
    result = function.result
    has_nulls = result.nullable or any(
        not parameter.nullable and getattr(each, "dtype", None) == _numpy.dtype(object)
        for parameter, each in zip(parameters, ahead, strict=True)
    )
    if result.type == JSON:
        dtype: Any = _numpy.dtype(object)
    else:
        some = pa.array([None] * has_nulls, result.type.as_declared_decoded)
        dtype = to_numpy(function.name, some).dtype
    axes = [tuple(reversed(range(each.ndim))) for each in arrays]
    try:
        _, arrays = _arrays.core.unify_chunks(*itertools.chain(*zip(arrays, axes, strict=True)))
    except ValueError as error:
        shapes = listed([each.shape for each in arrays], "and")
        raise TypeMappingError(
            f"UDF {function.name!r}: {_CALLER} takes arrays of the same shape, or of shapes that"
            f" can be broadcast; got {shapes}"
        ) from error
    return _arrays.map_blocks(
        Block(function, given, places, dtype),
        *arrays,
        dtype=dtype,
        meta=_numpy.empty((0,) * dimensions, dtype),
    )


def _without_rows(array: Any) -> Any:
    return _numpy.empty(0, array.dtype)
