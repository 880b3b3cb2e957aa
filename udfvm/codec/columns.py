"""Arguments and results that are arrays: what the caller passes, as Arrow columns of the declared
types, and results as the caller wants them. Which types go where is said in ``conversions``;
encoded columns (dictionary, run-end, views) are decoded.
"""

from __future__ import annotations

import datetime
import enum
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.python_values import python_values
from udfvm.codec.rows import (
    WHOLE_MICROSECONDS,
    check_argument,
    mapping_error,
    time_zone,
    wrong_argument,
)
from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import convert
from udfvm.types.arrow_types import Kind, named
from udfvm.types.conversions import Loss, Refused, is_missing
from udfvm.types.numpy_conversions import from_numpy, from_objects
from udfvm.types.records import as_mapping

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types.arrow_types import Parameter, Type


class Form(enum.Enum):
    """What the caller passed, and so gets back; the first that occurs in this order."""

    CHUNKED = "pyarrow.ChunkedArray"
    ARRAY = "pyarrow.Array"
    NUMPY = "numpy.ndarray"
    SCALAR = "Python value"


def form_of(value: object) -> Form:
    """The form of one argument."""
    if isinstance(value, pa.ChunkedArray):
        return Form.CHUNKED
    if isinstance(value, pa.Array):
        return Form.ARRAY
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        return Form.NUMPY
    return Form.SCALAR


def form_of_result(values: Sequence[object]) -> Form:
    """The form of the result of a call."""
    forms = {form_of(value) for value in values}
    return next(form for form in Form if form in forms) if forms else Form.SCALAR


def columns_of(
    function: str,
    parameters: Sequence[Parameter],
    values: Sequence[object],
    *,
    vectorized: bool = True,
) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
    """The arguments as columns of the declared types and of one length, and that length. Scalars
    are repeated.

    Not ``vectorized``: the function takes Python values, which not all dates and times have. Raises
    TypeMappingError, naming the argument.
    """
    lengths = {
        parameter.name: len(value)  # type: ignore[arg-type]
        for parameter, value in zip(parameters, values, strict=True)
        if form_of(value) is not Form.SCALAR
    }
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise TypeMappingError(f"UDF {function!r}: the arrays have different lengths: {described}")
    rows = next(iter(lengths.values()), 1)
    columns = [
        _column(function, parameter, value, rows)
        for parameter, value in zip(parameters, values, strict=True)
    ]
    if not vectorized:
        for parameter, column in zip(parameters, columns, strict=True):
            check_python_dates(function, parameter, column)
    return columns, rows


def _column(
    function: str, parameter: Parameter, value: Any, rows: int
) -> pa.Array | pa.ChunkedArray:
    form = form_of(value)
    if form is Form.SCALAR:
        _refuse_collection(function, parameter, value)
        return pa.repeat(scalar_of(function, parameter, value), rows)
    if form is Form.NUMPY:
        value = _from_numpy(function, parameter, value)
    return cast_argument(function, parameter, value)


# ---- Values ----

_SINGLE: Final = (str, bytes, bytearray, memoryview, pa.Scalar)
_PLAIN: Final = frozenset(
    {type(None), bool, int, float, str, bytes, datetime.date, datetime.datetime}
)


def python_value(function: str, parameter: Parameter, value: Any) -> Any:
    """A value that a scalar function is called with, as a Python value of the declared type, which
    holds no other; None for a null.
    """
    if type(value) in _PLAIN:
        return value
    value = _from_numpy_scalar(value)
    if value is None or _is_missing(parameter, value):
        return None
    if isinstance(value, pa.Scalar) or _is_numpy_time(value):
        scalar = scalar_of(function, parameter, value)
        check_python_dates(function, parameter, pa.repeat(scalar, 1))
        if parameter.type.unit == "ns":
            scalar = scalar.cast(pa.timestamp("us", parameter.type.timezone))
        return scalar.as_py()
    _refuse_collection(function, parameter, value)
    _refuse_series(function, parameter, value)
    check_argument(function, parameter, value)
    return value


def _from_numpy_scalar(value: Any) -> Any:
    """Scalars of numpy, in an array or not, as Python has them; times remain."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return value
    if isinstance(value, numpy.ndarray) and not value.ndim:
        value = value[()]
    return value.item() if isinstance(value, numpy.generic) and not _is_numpy_time(value) else value


def _is_numpy_time(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.datetime64, numpy.timedelta64))


def _is_missing(parameter: Parameter, value: Any) -> bool:
    """Whether a value is another word for null where the parameter is: NaT is one for dates and
    times.
    """
    timely = parameter.type.kind in (Kind.DATE, Kind.DATETIME)
    if is_missing(value):
        return timely or type(value).__name__ == "NAType"
    if not timely or not _is_numpy_time(value) or type(value).__name__ != "datetime64":
        return False
    return bool(value != value)  # noqa: PLR0124 - as NaN


def _refuse_collection(function: str, parameter: Parameter, value: object) -> None:
    """Python's own collections, in the place of columns."""
    single = parameter.type.is_nested or isinstance(value, _SINGLE)
    if not single and isinstance(value, (Sequence, Set, Iterator)):
        raise wrong_argument(
            function,
            parameter,
            f"{type(value).__name__}: as a column, pass numpy.array(...) or pyarrow.array(...)"
            " of it",
        )


def _refuse_series(function: str, parameter: Parameter, value: Any) -> None:
    """Columns of other libraries, whose nulls and results are not for us to guess."""
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        found = f"a {type(value).__module__.partition('.')[0]} {type(value).__name__}"
        raise wrong_argument(
            function,
            parameter,
            f"{found}: pass it as a numpy array or pyarrow array, such as pyarrow.array(...)",
        )


def scalar_of(function: str, parameter: Parameter, value: Any) -> pa.Scalar:
    """A Python value, or a pyarrow scalar, as a scalar of the declared type."""
    declared = parameter.type.arrow
    if isinstance(value, pa.Scalar):
        return cast_argument(function, parameter, pa.repeat(value, 1))[0]
    value = _from_numpy_scalar(value)
    if value is None or _is_missing(parameter, value):
        return pa.scalar(None, declared)
    if _is_numpy_time(value):
        return cast_argument(
            function, parameter, _from_numpy(function, parameter, value.reshape(1))
        )[0]
    if parameter.type.is_nested:
        return _nested_scalar(function, parameter, value)
    _refuse_series(function, parameter, value)
    try:
        return pa.scalar(_leaf(function, parameter, value), declared)
    except TypeMappingError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise mapping_error(
            function, parameter, f"is of no value of {declared}: {error}"
        ) from error


def _leaf(function: str, parameter: Parameter, value: Any) -> Any:
    """A value, checked, as pyarrow takes it. Raises TypeMappingError."""
    check_argument(function, parameter, value)
    if parameter.type.kind is Kind.FLOAT:
        return float(value)
    if parameter.type.kind is Kind.INT:
        return int(operator.index(value))
    return bytes(value) if isinstance(value, memoryview) else value


def _nested_scalar(function: str, parameter: Parameter, value: object) -> pa.Scalar:
    """A list or tuple for a list, a mapping for a struct; what they hold likewise."""
    try:
        made = pa.scalar(
            _held(function, parameter, parameter.type.arrow, value), parameter.type.arrow
        )
        return (
            made
            if parameter.type.exact is None
            else cast_argument(function, parameter, pa.repeat(made, 1))[0]
        )
    except TypeMappingError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise mapping_error(function, parameter, f"is no {parameter.type}: {error}") from error


def _held(function: str, parameter: Parameter, type_: pa.DataType, value: Any) -> Any:
    """A value with all that it holds checked: pyarrow drops and guesses. Raises TypeError,
    TypeMappingError.
    """
    if value is None:
        return None
    if pa.types.is_struct(type_):
        value = as_mapping(value)
        if not isinstance(value, Mapping):
            raise TypeError(f"{type(value).__name__} where a mapping is declared: {type_}")
        fields = [type_.field(index) for index in range(type_.num_fields)]
        names = [field.name for field in fields]
        unknown = [key for key in value if key not in names]
        if unknown:
            raise TypeError(f"{unknown[0]!r} is no field of {type_}")
        return {
            field.name: _held(function, parameter, field.type, value.get(field.name))
            for field in fields
        }
    if type_.num_fields:
        if not isinstance(value, (list, tuple)) and form_of(value) is not Form.NUMPY:
            raise TypeError(f"{type(value).__name__} where a list is declared: {type_}")
        return [_held(function, parameter, type_.value_type, item) for item in value]
    if isinstance(value, (list, tuple)):
        raise TypeError(
            f"{type(value).__name__} where {type_} is declared; as a column of lists, pass"
            " pyarrow.array(...) of it"
        )
    inner = parameter._replace(type=named(str(type_)))
    value = _from_numpy_scalar(value)
    if _is_missing(inner, value):
        return None
    try:
        return (
            scalar_of(function, inner, value).as_py()
            if _is_numpy_time(value)
            else _leaf(function, inner, value)
        )
    except TypeMappingError as error:
        raise mapping_error(
            function, parameter, f"is no {parameter.type}: a value in it {error.reason}"
        ) from None


# ---- Arrays ----


def _from_numpy(
    function: str, parameter: Parameter, value: np.ndarray[Any, Any]
) -> pa.Array | pa.ChunkedArray:
    if value.ndim != 1:
        raise wrong_argument(function, parameter, f"a numpy array of {value.ndim} dimensions")
    if value.dtype.kind in "OT":
        return _from_objects(function, parameter, value.tolist())
    try:
        return from_numpy(value, parameter.type.arrow)
    except Refused as refused:
        raise wrong_argument(function, parameter, str(refused)) from None
    except Loss as loss:
        raise mapping_error(function, parameter, str(loss), loss.row) from None


def _from_objects(function: str, parameter: Parameter, values: list[Any]) -> pa.Array:
    """An array of Python values: each is what it would be alone."""
    array = from_objects(values, parameter.type.arrow)
    return column_of_values(function, parameter, values) if array is None else array


def column_of_values(function: str, parameter: Parameter, values: Iterable[Any]) -> pa.Array:
    """An array of Python values. Raises TypeMappingError."""
    scalars = []
    for row, value in enumerate(values):
        try:
            scalars.append(scalar_of(function, parameter, value))
        except TypeMappingError as error:
            raise mapping_error(function, parameter, error.reason, row) from None
    if parameter.type.is_nested and scalars:  # pa.array() takes no scalars that are null lists
        return pa.concat_arrays([pa.repeat(scalar, 1) for scalar in scalars])
    return pa.array(scalars, parameter.type.arrow)


def cast_argument(function: str, parameter: Parameter, array: Any) -> Any:
    """An array, or a chunked array, as the declared type. Raises TypeMappingError."""
    declared = parameter.type.arrow
    if isinstance(array, pa.ChunkedArray):
        chunks, start = [], 0
        for chunk in array.chunks:
            chunks.append(_cast_chunk(function, parameter, chunk, start))
            start += len(chunk)
        return pa.chunked_array(
            chunks or [_cast_chunk(function, parameter, pa.array([], array.type), 0)], type=declared
        )
    return _cast_chunk(function, parameter, array, 0)


def _cast_chunk(function: str, parameter: Parameter, array: pa.Array, first_row: int) -> pa.Array:
    try:
        if parameter.type.exact is not None:
            array = convert(array, parameter.type.exact)
        return convert(array, parameter.type.arrow)
    except Refused:
        raise wrong_argument(
            function, parameter, f"an array of {array.type}; cast it first if that is meant"
        ) from None
    except Loss as loss:
        row = None if loss.row is None else first_row + loss.row
        raise mapping_error(function, parameter, str(loss), row) from None
    except (pa.ArrowException, NotImplementedError) as error:
        raise wrong_argument(function, parameter, f"an array of {array.type}: {error}") from error


_EPOCH: Final = datetime.datetime(1970, 1, 1)
_FIRST_DAY, _LAST_DAY = (datetime.datetime.min - _EPOCH).days, (datetime.datetime.max - _EPOCH).days
_DAY: Final = {"day": 1, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
_BEYOND: Final = "dates and times in Python, which scalar functions take, have the years 1 to 9999"


def check_python_dates(
    function: str, parameter: Parameter, column: pa.Array | pa.ChunkedArray
) -> None:
    """Raises TypeMappingError for dates and times, in lists and structs too, that Python has not:
    those of other years than 1 to 9999, those with nanoseconds.
    """
    if "date" not in parameter.type.name and "timestamp" not in parameter.type.name:
        return
    start = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        wrong = _first_not_of_python(chunk)
        if wrong is not None:
            raise mapping_error(function, parameter, wrong[1], start + wrong[0])
        start += len(chunk)


def _first_not_of_python(array: pa.Array) -> tuple[int, str] | None:
    """The first row that holds such a date or time, and what is the matter with it."""
    import pyarrow.compute as pc

    if pa.types.is_struct(array.type):
        found = [
            wrong
            for column in array.flatten()
            if (wrong := _first_not_of_python(column)) is not None
        ]
        return min(found, default=None)
    if array.type.num_fields:
        wrong = _first_not_of_python(array.flatten())
        if wrong is None:
            return None
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0))
        return pc.sum(pc.less_equal(ends, wrong[0])).as_py(), wrong[1]
    if not pa.types.is_date(array.type) and not pa.types.is_timestamp(array.type):
        return None
    unit = (
        "day"
        if pa.types.is_date32(array.type)
        else "ms"
        if pa.types.is_date64(array.type)
        else array.type.unit
    )
    stored = array.view(pa.int32() if unit == "day" else pa.int64())
    if unit == "ns":
        row, why = (
            pc.index(
                pc.not_equal(pc.multiply(pc.divide(stored, 1000), 1000), stored), True
            ).as_py(),
            WHOLE_MICROSECONDS,
        )
    else:
        first, last = _FIRST_DAY * _DAY[unit], (_LAST_DAY + 1) * _DAY[unit]
        row, why = (
            pc.index(pc.or_(pc.less(stored, first), pc.greater_equal(stored, last)), True).as_py(),
            _BEYOND,
        )
        if row < 0 and pa.types.is_timestamp(array.type) and array.type.tz is not None:
            row = _first_beyond_in_zone(array.type.tz, stored, _DAY[unit])
    return (
        None
        if row < 0
        else (row, f"{stored[row]} {'days' if unit == 'day' else unit} since 1970: {why}")
    )


def _first_beyond_in_zone(zone: str, stored: pa.Array, day: int) -> int:
    """The first time that is beyond the ends of the calendar in a zone, and not in UTC: within a
    day of them; -1 where there is none.
    """
    import pyarrow.compute as pc

    near = pc.or_(
        pc.less(stored, (_FIRST_DAY + 1) * day), pc.greater_equal(stored, _LAST_DAY * day)
    )
    for row in pc.indices_nonzero(near.fill_null(False)).to_pylist():
        moment = _EPOCH + datetime.timedelta(microseconds=stored[row].as_py() * (_DAY["us"] // day))
        try:
            moment.replace(tzinfo=datetime.UTC).astimezone(time_zone(zone))
        except OverflowError:
            return int(row)
    return -1


def one_batch(table: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    """One batch of all rows; copies only where there are several chunks."""
    if isinstance(table, pa.RecordBatch):
        return table
    columns = [
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        for column in table.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def as_declared(function: str, result: Type, pieces: Sequence[pa.Array]) -> list[pa.Array]:
    """The pieces of a result, of the type as it was declared, which says where there are no nulls.
    Raises TypeMappingError.
    """
    if result.exact is None:
        return list(pieces)
    try:
        return [convert(piece, result.exact) for piece in pieces]
    except Loss as loss:
        raise TypeMappingError(
            f"UDF {function!r}: its result, row {loss.row} of its batch: {loss}"
        ) from None


def in_form(function: str, form: Form, type_: pa.DataType, pieces: Sequence[pa.Array]) -> Any:
    """The pieces of a result, in order, as the caller wants them. Raises TypeMappingError for what
    Python has no value for.
    """
    if form is Form.CHUNKED:
        return pa.chunked_array(pieces, type=type_)
    whole = (
        pieces[0]
        if len(pieces) == 1
        else pa.concat_arrays(pieces)
        if pieces
        else pa.nulls(0, type_)
    )
    if form is Form.NUMPY:
        return to_numpy(function, whole)
    return whole if form is Form.ARRAY else python_values(function, whole[:1])[0]


def to_numpy(function: str, array: pa.Array) -> np.ndarray[Any, Any]:
    """As numpy. Nulls are NaN (floats), NaT (dates and times, which are in UTC) or None, in an
    array of objects (all others).
    """
    kind = array.type
    plain = array.null_count == 0 and not pa.types.is_null(kind) and not kind.num_fields
    if not pa.types.is_time(kind) and (
        plain or pa.types.is_floating(kind) or pa.types.is_temporal(kind)
    ):
        values = array.to_numpy(zero_copy_only=False)
        return values if values.flags.writeable else values.copy()
    import numpy as np

    values = np.empty(len(array), dtype=object)
    values[:] = python_values(function, array)
    return values
