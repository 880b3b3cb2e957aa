"""Arguments and results that are arrays: what the caller passes, as Arrow columns of the declared types, and results as the caller
wants them.

Conversions of arguments lose nothing: integers widen or, where every value fits, narrow; integers become floats where exact; floats
become floats of another width; encoded columns (dictionary, run-end, views) are decoded; a column of nulls is of any type. Nothing else
is cast.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.errors import TypeMappingError
from udfvm.rows import check_argument, wrong_argument
from udfvm.types import Kind

if TYPE_CHECKING:
    import numpy as np

    from udfvm.types import Parameter


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


def columns_of(function: str, parameters: Sequence[Parameter], values: Sequence[object]) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
    """The arguments as columns of the declared types and of one length, and that length. Scalars are repeated.

    Raises TypeMappingError, naming the argument.
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
    return [_column(function, parameter, value, rows) for parameter, value in zip(parameters, values, strict=True)], rows


def _column(function: str, parameter: Parameter, value: Any, rows: int) -> pa.Array | pa.ChunkedArray:
    form = form_of(value)
    if form is Form.SCALAR:
        return pa.repeat(scalar_of(function, parameter, value), rows)
    if form is Form.NUMPY:
        value = _from_numpy(function, parameter, value)
    return cast_argument(function, parameter, value)


def scalar_of(function: str, parameter: Parameter, value: object) -> pa.Scalar:
    """A Python value, or a pyarrow scalar, as a scalar of the declared type."""
    declared = parameter.type.arrow
    if isinstance(value, pa.Scalar):
        return cast_argument(function, parameter, pa.array([value], type=value.type))[0]
    if value is None:
        return pa.scalar(None, declared)
    if parameter.type.is_nested:
        return _nested_scalar(function, parameter, value)
    if isinstance(value, (list, tuple, dict, set)):
        raise wrong_argument(function, parameter, f"{type(value).__name__} (a column is a pyarrow or numpy array)")
    check_argument(function, parameter, value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if parameter.type.kind is Kind.FLOAT:
        value = float(value)  # type: ignore[arg-type]
    try:
        return pa.scalar(value, declared)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise TypeMappingError(f"UDF {function!r}: argument {parameter.name!r}: {error}") from error


def _nested_scalar(function: str, parameter: Parameter, value: object) -> pa.Scalar:
    """A list or tuple for a list, a mapping for a struct; what they hold likewise."""
    try:
        _check_held(parameter.type.arrow, value)
        return pa.scalar(value, parameter.type.arrow)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise TypeMappingError(f"UDF {function!r}: argument {parameter.name!r}, of type {parameter.type}: {error}") from error


def _check_held(type_: pa.DataType, value: object) -> None:
    """What pyarrow would drop or guess. Raises TypeError."""
    if value is None or not type_.num_fields:
        return
    if pa.types.is_struct(type_):
        if not isinstance(value, Mapping):
            raise TypeError(f"{type(value).__name__} where a mapping is declared: {type_}")
        names = [type_.field(index).name for index in range(type_.num_fields)]
        unknown = [key for key in value if key not in names]
        if unknown:
            raise TypeError(f"{unknown[0]!r} is no field of {type_}")
        for index, name in enumerate(names):
            _check_held(type_.field(index).type, value.get(name))
    else:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{type(value).__name__} where a list is declared: {type_}")
        for item in value:
            _check_held(type_.value_type, item)


def _from_numpy(function: str, parameter: Parameter, value: np.ndarray[Any, Any]) -> pa.Array | pa.ChunkedArray:
    if value.ndim != 1:
        raise wrong_argument(function, parameter, f"a numpy array of {value.ndim} dimensions")
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    if value.dtype.kind == "T":
        value = value.astype(object)
    try:
        array = pa.array(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise wrong_argument(function, parameter, f"a numpy array of {value.dtype}: {error}") from error
    if parameter.type.timezone is not None and pa.types.is_timestamp(array.type) and array.type.tz is None:
        return array.view(pa.timestamp(array.type.unit, tz=parameter.type.timezone))     # numpy's times are UTC
    if parameter.type.name == "date64[ms]" and array.type == pa.timestamp("ms"):
        dates = array.cast(pa.date64())          # numpy has no dates of milliseconds
        if dates.cast(array.type).equals(array):
            return dates
    return array


def cast_argument(function: str, parameter: Parameter, array: Any) -> Any:
    """An array, or a chunked array, as the declared type. Raises TypeMappingError."""
    declared = parameter.type.arrow
    found = array.type
    if found == declared:
        return array
    if pa.types.is_dictionary(found):
        return cast_argument(function, parameter, array.cast(found.value_type))
    if pa.types.is_run_end_encoded(found):
        return cast_argument(function, parameter, array.cast(found.value_type))
    if not (pa.types.is_null(found) or _compatible(found, declared)):
        raise wrong_argument(function, parameter, f"an array of {found}; cast it first if that is meant")
    try:
        return array.cast(declared)
    except pa.ArrowException as error:
        raise TypeMappingError(
            f"UDF {function!r}: argument {parameter.name!r}: its {found} cannot all be {declared} without loss: {error}"
        ) from error


def _compatible(found: pa.DataType, declared: pa.DataType) -> bool:
    kinds = pa.types
    if kinds.is_floating(declared):
        return bool(kinds.is_floating(found) or kinds.is_integer(found))
    if kinds.is_timestamp(declared):
        return bool(kinds.is_timestamp(found)) and (found.tz is None) == (declared.tz is None)
    if declared.num_fields:
        return _holds_compatible(found, declared)
    return any(same(found) and same(declared) for same in (kinds.is_integer, _is_text, _is_bytes, kinds.is_date))


def _holds_compatible(found: pa.DataType, declared: pa.DataType) -> bool:
    """Lists of any kind for lists; for structs, structs with the same fields in the same order."""
    if found.num_fields != declared.num_fields or pa.types.is_struct(found) != pa.types.is_struct(declared) or pa.types.is_map(found):
        return False
    pairs = [(found.field(index), declared.field(index)) for index in range(declared.num_fields)]
    if pa.types.is_struct(declared) and any(one.name != other.name for one, other in pairs):
        return False
    return all(one.type == other.type or pa.types.is_null(one.type) or _compatible(one.type, other.type) for one, other in pairs)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _is_bytes(type_: pa.DataType) -> bool:
    kinds = pa.types
    return bool(kinds.is_binary(type_) or kinds.is_large_binary(type_) or kinds.is_binary_view(type_) or kinds.is_fixed_size_binary(type_))


def one_batch(table: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    """One batch of all rows; copies only where there are several chunks."""
    if isinstance(table, pa.RecordBatch):
        return table
    columns = [column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def in_form(form: Form, type_: pa.DataType, pieces: Sequence[pa.Array]) -> Any:
    """The pieces of a result, in order, as the caller wants them."""
    if form is Form.CHUNKED:
        return pa.chunked_array(pieces, type=type_)
    whole = pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces) if pieces else pa.nulls(0, type_)
    if form is Form.NUMPY:
        return to_numpy(whole)
    return whole if form is Form.ARRAY else whole[0].as_py()


def to_numpy(array: pa.Array) -> np.ndarray[Any, Any]:
    """As numpy. Nulls are NaN (floats), NaT (dates and times, which are in UTC) or None, in an array of objects (all others)."""
    kind = array.type
    plain = array.null_count == 0 and not pa.types.is_null(kind) and not kind.num_fields
    if plain or pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        values = array.to_numpy(zero_copy_only=False)
        return values if values.flags.writeable else values.copy()
    import numpy as np

    values = np.empty(len(array), dtype=object)
    values[:] = array.to_pylist()
    return values
