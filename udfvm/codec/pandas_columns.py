"""Columns of pandas as arguments, and results as pandas has them.

pandas has several backends. Where a dtype is one of numpy's, NaN is a missing value, as everywhere
in pandas; so is NA in all others. A result has the backend of the argument.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import MASKED, argument_error, wrong_type
from udfvm.codec.casts import cast_argument
from udfvm.codec.containers import Container, to_numpy
from udfvm.codec.late_numpy import check_numpy
from udfvm.codec.numpy_columns import column_of_objects
from udfvm.codec.python_values import python_values
from udfvm.codec.remedies import refuse_others
from udfvm.codec.struct_columns import chosen_columns, too_many
from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import convert
from udfvm.types.arrow_types import Kind, named
from udfvm.types.conversions import without_missing
from udfvm.types.encodings import decoded
from udfvm.types.nested import type_name
from udfvm.types.unions import has_unions

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter

# What to pass in place of a dtype that has no counterpart in Arrow.
_ADVICE: Final = {
    "PeriodDtype": "{0} to a parameter that is declared pyarrow.array({0}).type",
    "IntervalDtype": "its ends, as two arguments: {0}.array.left and {0}.array.right",
    "SparseDtype": "numpy.asarray({0})",
    "complex": "its parts, as two arguments: {0}.to_numpy().real and {0}.to_numpy().imag",
}
_DOUBLE: Final = 8  # bytes of the largest float that Arrow has


class Backend(enum.Enum):
    """How pandas holds the values of a column."""

    NUMPY = "numpy"
    MASKED = "numpy, and a mask"
    ARROW = "pyarrow"


def is_mine(value: object) -> bool:
    """Returns True for a Series, DataFrame, Index or array of pandas."""
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "Index"):
        return False
    extension = pandas.api.extensions.ExtensionArray
    return isinstance(value, (pandas.Series, pandas.DataFrame, pandas.Index, extension))


def column(function: str, parameter: Parameter, value: Any) -> Any:
    """Returns a column as an array of numpy or pyarrow; of a DataFrame its structs, or its only
    column. Raises TypeMappingError.
    """
    check_numpy(function)
    pandas: Any = sys.modules["pandas"]
    if isinstance(value, pandas.MultiIndex):
        raise wrong_type(
            function,
            parameter,
            "a pandas MultiIndex: pass a level, such as index.get_level_values(0)",
        )
    if isinstance(value, pandas.DataFrame):
        return _column_in_frame(function, parameter, value)
    series = value if isinstance(value, pandas.Series) else pandas.Series(value)
    dtype = series.dtype
    if hasattr(dtype, "char"):  # one of numpy's
        return _of_numpy(function, parameter, series)
    if type(dtype).__name__ in _ADVICE:
        _check_declared(function, parameter, value)
    try:
        return pa.array(series)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        advice = f"series.astype(...) of it ({error})"
        raise _without_counterpart(function, parameter, dtype, advice) from error


def _check_declared(function: str, parameter: Parameter, value: Any) -> None:
    """Raises TypeMappingError for periods, intervals and sparse values, unless the parameter is
    declared as the extension type of the dtype.
    """
    dtype, exact = value.dtype, parameter.type.exact
    wanted = exact.to_pandas_dtype() if exact is not None and _is_of_pandas(exact) else None
    if wanted is None:
        raise _without_counterpart(function, parameter, dtype, _advice(parameter, value))
    if dtype != wanted:
        raise wrong_type(function, parameter, _of_others(exact, wanted, value))


def _of_others(exact: Any, wanted: Any, value: Any) -> str:
    """Returns what periods or intervals of a dtype other than the wanted one are, and what to pass
    in their place.
    """
    dtype = value.dtype
    if getattr(dtype, "closed", None) != getattr(wanted, "closed", None):  # astype() leaves it
        return f"pandas dtype {dtype}: pass series.array.set_closed({wanted.closed!r})"
    if getattr(wanted, "subtype", None) is not None and wanted.subtype.kind in "iu":
        # Integers have no NaN, and astype() cuts fractions off.
        fields = [(each.name, str(each.type)) for each in exact.storage_type]
        missing = ", with missing values" if value.isna().any() else ""
        cast = f"pyarrow.array(series).storage.cast(pyarrow.struct({fields}))"
        return f"pandas dtype {dtype}{missing}: pass {cast}"
    return f"pandas dtype {dtype}: pass series.astype({str(wanted)!r})"


def _advice(parameter: Parameter, value: Any) -> str:
    """Returns what to pass in place of periods, intervals and sparse values."""
    is_index = type(value).__name__.endswith("Index")
    is_series = type(value).__name__ == "Series"
    word = "index" if is_index else "series" if is_series else "pandas.Series(array)"
    name, kind = type(value.dtype).__name__, parameter.type.kind
    if name == "PeriodDtype" and kind is Kind.TEXT:
        return f"{word}.astype(str)"
    if name == "PeriodDtype" and kind in (Kind.DATE, Kind.DATETIME):
        times = f"{word}.to_timestamp()" if is_index else f"{word}.dt.to_timestamp()"
        days = f"pandas.Series({times}).dt.date" if is_index else f"{times}.dt.date"
        return days if kind is Kind.DATE else times
    return _ADVICE[name].format(word)


def _with_null_fields(array: Any) -> Any:
    """Returns an array of an extension type; if its values are structs, those of nulls are nulls
    alone, as pandas needs it.
    """
    held = array.storage
    if not pa.types.is_struct(held.type):
        return array
    fields = list(held.type)
    made = pa.StructArray.from_arrays(held.flatten(), fields=fields, mask=held.is_null())
    return array.type.wrap_array(made)


def _is_of_pandas(type_: pa.DataType) -> bool:
    """Whether a type is one of pandas' own: periods, intervals."""
    return isinstance(type_, pa.ExtensionType) and type_.extension_name.startswith("pandas.")


def _without_counterpart(
    function: str, parameter: Parameter, dtype: object, advice: str
) -> TypeMappingError:
    found = f"pandas dtype {dtype}, which Arrow has no counterpart for: pass {advice}"
    return wrong_type(function, parameter, found)


def _of_numpy(function: str, parameter: Parameter, series: Any) -> Any:
    values = series.to_numpy()
    kind = values.dtype.kind
    if kind == "c":
        raise _without_counterpart(
            function, parameter, values.dtype, _ADVICE["complex"].format("series")
        )
    if kind == "f" and values.dtype.itemsize > _DOUBLE:
        raise _without_counterpart(function, parameter, values.dtype, "series.astype('float64')")
    if kind == "O":
        return column_of_objects(function, parameter, without_missing(values.tolist()))
    if kind == "f" and parameter.type.kind in (Kind.INT, Kind.BOOL):
        raise wrong_type(function, parameter, _of_floats(parameter, values))
    if kind in "mM" or (kind == "f" and (values != values).any()):  # noqa: PLR0124 - as NaN
        return pa.array(values, from_pandas=True)
    return values


def _of_floats(parameter: Parameter, values: Any) -> str:
    """Returns what floats are, and what to pass in their place where they stand for integers or
    booleans.
    """
    if (values != values).any():  # noqa: PLR0124 - as NaN
        dtype = MASKED[parameter.type.name]
        return f"pandas dtype {values.dtype}, with NaN: pass series.astype({dtype!r})"
    dtype = parameter.type.name
    return f"pandas dtype {values.dtype}: pass series.astype({dtype!r})"


def _column_in_frame(function: str, parameter: Parameter, frame: Any) -> Any:
    names = list(frame.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        if len(names) == 1:
            return column(function, parameter, frame.iloc[:, 0])
        raise too_many(function, parameter, names, "pandas DataFrame")
    is_leaf = not any(each.kind == "O" for each in frame.dtypes)  # others hold no dictionaries
    may_be_only = not (is_leaf and parameter.type.kind is Kind.STRUCT)
    chosen = chosen_columns(function, parameter, names, "pandas DataFrame", may_be_only=may_be_only)
    if isinstance(chosen, str):
        return column(function, parameter, frame[chosen])
    fields, columns = list(parameter.type.arrow), []
    for field in fields:
        inner = parameter._replace(type=named(type_name(field.type)))
        try:
            made = column(function, inner, frame[field.name])
            if not isinstance(made, (pa.Array, pa.ChunkedArray)):
                made = pa.array(made)
            given = frame[field.name]
            refuse_others(function, inner, made.type, given, f"frame[{field.name!r}]")
            made = cast_argument(function, inner, made)
        except TypeMappingError as error:
            reason = f"has a column {field.name!r} that {error.reason}"
            raise argument_error(function, parameter, reason, error.row) from None
        chunked = isinstance(made, pa.ChunkedArray)
        columns.append(pa.concat_arrays(made.chunks) if chunked else made)
    return pa.StructArray.from_arrays(columns, fields=fields)


def table_of(function: str, frame: Any, wanted: Collection[str] | None = None) -> pa.Table:
    """Returns a DataFrame as a table, with its index: in columns, but for a range of labels that
    has no name. Raises TypeMappingError for a column that Arrow has no counterpart for.

    ``wanted`` names the columns that the table has, as far as the frame has them; None for all.
    """
    check_numpy(function)
    if wanted is not None:
        chosen = [place for place, name in enumerate(frame.columns) if str(name) in wanted]
        frame = frame.iloc[:, chosen]
    named = frame
    if len({isinstance(name, str) for name in frame.columns}) > 1:  # which pyarrow warns of
        named = frame.set_axis([str(name) for name in frame.columns], axis=1)
    try:
        has_name = any(name is not None for name in frame.index.names)
        return pa.Table.from_pandas(named, preserve_index=True if has_name else None)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise TypeMappingError(f"UDF {function!r}: {_what_is_wrong(frame, error)}") from error


def _what_is_wrong(frame: Any, error: Exception) -> str:
    """Returns why a DataFrame cannot be a table, and what to do."""
    for place, (name, dtype) in enumerate(frame.dtypes.items()):
        reason = _why_no_array(frame.iloc[:, place])
        if not reason:
            continue
        found = f"column {name!r} of the source of map(), of pandas dtype {dtype}, cannot be read"
        advice = _ADVICE.get(type(dtype).__name__ if dtype.kind != "c" else "complex")
        pass_ = (
            f"pass {advice.format(f'frame[{name!r}]')}"
            if advice
            else f"convert it, as frame[{name!r}].astype(str) does"
        )
        return f"{found} as an Arrow array: {reason}: {pass_}, or leave it out by keep="
    for level in range(frame.index.nlevels):
        reason = _why_no_array(frame.index.get_level_values(level).to_series())
        if reason:
            return (
                f"the index of the source of map(), a DataFrame, cannot be read as an Arrow array:"
                f" {reason}: convert it, or pass frame.reset_index(drop=True)"
            )
    return f"the source of map(), a DataFrame, cannot be read as an Arrow table: {error}"


def _why_no_array(series: Any) -> str:
    """Returns why Arrow has no array of a Series; nothing if it has one."""
    try:
        pa.array(series)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        return str(error)
    return ""


# ---- Results ----


def giving_back(
    function: str, given: Sequence[tuple[str, Any]], *, json: bool
) -> tuple[Container, Callable[[Any], Any]]:
    """Returns what to ask for as a result, and what makes a Series, Index or array of it.

    ``given`` are arguments, with their names. Raises TypeMappingError for columns that have
    different indexes.
    """
    pandas: Any = sys.modules["pandas"]
    columns = [(name, value) for name, value in given if hasattr(value, "iloc")]
    indexes = [(name, value) for name, value in given if isinstance(value, pandas.Index)]
    _check_indexes(function, columns)
    _, first = next(iter(columns or indexes or given))
    dtypes = [_dtype_of(value) for _, value in given]
    backend = backend_of(_dtype_of(first))
    names = [_name_of(value) for _, value in columns or indexes]
    # As pandas does it: columns that have different names make one without a name.
    name = names[0] if names and all(each == names[0] for each in names) else None
    as_objects = json and backend is not Backend.ARROW

    def back(result: Any) -> Any:
        made = pandas.Series(result) if as_objects else series_of(function, result, backend)
        if type(made.dtype).__name__ == "CategoricalDtype":
            made = _with_categories(made, dtypes)
        if columns:
            made.index, made.name = first.index, name
            return made
        return pandas.Index(made, name=name) if indexes else made.array

    return Container.NUMPY if as_objects else Container.ARRAY, back


def _dtype_of(value: Any) -> Any:
    """Returns the dtype of a column, or of the first of a DataFrame."""
    return value.dtypes.iloc[0] if hasattr(value, "columns") else value.dtype


def _with_categories(made: Any, dtypes: Sequence[Any]) -> Any:
    """Returns a Series of categories with those of the first dtype that has them all."""
    for dtype in dtypes:
        is_category = type(dtype).__name__ == "CategoricalDtype" and not made.dtype.ordered
        if is_category and made.cat.categories.isin(dtype.categories).all():
            return made.cat.set_categories(dtype.categories)
    return made


def _name_of(value: Any) -> Any:
    """Returns the name of a Series or Index, or of the only column of a DataFrame."""
    if not hasattr(value, "columns"):
        return value.name
    return value.columns[0] if len(value.columns) == 1 else None


def _check_indexes(function: str, columns: Sequence[tuple[str, Any]]) -> None:
    if not columns:
        return
    name, first = columns[0]
    for other_name, other in columns[1:]:
        if len(other) == len(first) and not other.index.equals(first.index):
            raise TypeMappingError(
                f"UDF {function!r}: arguments {name!r} and {other_name!r} have different indexes,"
                " so their rows do not belong together: align them first (first.align(second)), or"
                " pass series.reset_index(drop=True) or series.array to go by position"
            )


def backend_of(dtype: Any) -> Backend:
    """Returns the backend of a dtype.

    >>> import numpy as np
    >>> backend_of(np.dtype("int64"))
    <Backend.NUMPY: 'numpy'>
    """
    name = type(dtype).__name__
    if name == "ArrowDtype":
        return Backend.ARROW
    if name == "StringDtype":
        return Backend.NUMPY if isinstance(dtype.na_value, float) else Backend.MASKED
    return Backend.MASKED if str(dtype) in MASKED.values() else Backend.NUMPY


def _categories(array: Any) -> Any:
    """Returns an array of a dictionary as a Series of categories; None where its values cannot be
    such, as NaN cannot.
    """
    try:
        return array.to_pandas()
    except (pa.ArrowException, TypeError, ValueError):
        return None


def series_of(function: str, array: pa.Array, backend: Backend) -> Any:
    """Returns an array as a Series. Integers and booleans with nulls are always masked: a float
    does not have every integer. Raises TypeMappingError for what Python has no value for.
    """
    pandas: Any = sys.modules["pandas"]
    type_ = array.type
    if _is_of_pandas(type_):
        return _with_null_fields(array).to_pandas()
    if backend is Backend.ARROW and not has_unions(type_):  # of which pandas can show none
        return pandas.Series(pandas.array(array, dtype=pandas.ArrowDtype(type_)))
    categories = _categories(array) if pa.types.is_dictionary(type_) else None
    if categories is not None:
        return categories
    plain = decoded(type_)
    if plain is not type_ and not pa.types.is_nested(plain):
        array = convert(array, plain)
    return _decoded_series(function, array, backend is Backend.MASKED)


def _decoded_series(function: str, array: Any, masked: bool) -> Any:
    """Returns an array of a type that is not encoded as a Series of dtypes of numpy, or of masked
    ones.
    """
    pandas: Any = sys.modules["pandas"]
    type_ = array.type
    is_whole = pa.types.is_integer(type_) or pa.types.is_boolean(type_)
    if masked or (is_whole and array.null_count):
        name = MASKED.get(str(type_))
        if name is not None:
            dtype = pandas.api.types.pandas_dtype(name)
            return array.to_pandas(types_mapper=lambda _: dtype)
    is_text = pa.types.is_string(type_) or pa.types.is_large_string(type_)
    is_time = pa.types.is_timestamp(type_) or pa.types.is_duration(type_)
    if is_text or is_time:
        return array.to_pandas()
    if pa.types.is_date(type_):  # pandas has times of such days, which are not dates
        return pandas.Series(python_values(function, array), dtype=object)
    return pandas.Series(to_numpy(function, array))
