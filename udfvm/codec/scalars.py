"""Single values as arguments: Python's objects, numpy's and pyarrow's scalars, and what stands for
null, as Python values or Arrow scalars of the declared types.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import argument_error, wrong_type
from udfvm.codec.casts import arrow_array, cast_argument
from udfvm.codec.containers import Container, container_of
from udfvm.codec.python_dates import check_python_dates
from udfvm.codec.remedies import refuse_others
from udfvm.codec.value_codecs import check_value, is_python_value
from udfvm.errors import CallError, TypeMappingError
from udfvm.types.arrow_types import Kind, named
from udfvm.types.conversions import exact_float, is_missing, short
from udfvm.types.nested import holds_others, pairs_of, type_name, values_in_pairs
from udfvm.types.records import as_mapping
from udfvm.types.unions import Chosen, array_of, choose

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter

_NO_COLLECTIONS: Final = (str, bytes, bytearray, memoryview, pa.MonthDayNano, pa.Scalar)
_FAILURES: Final = (pa.ArrowException, OverflowError, TypeError, ValueError)


def python_value(function: str, parameter: Parameter, value: Any) -> Any:
    """Returns a value that a scalar function is called with, as a Python value of the declared
    type, which holds no other; None for a null. Raises TypeMappingError.
    """
    if is_python_value(value):
        return value
    value = _python_scalar(value)
    if value is None or _is_null(parameter, value):
        return None
    if isinstance(value, pa.Scalar) or _is_numpy_time(value):
        scalar = scalar_of(function, parameter, value)
        check_python_dates(function, parameter, pa.repeat(scalar, 1))
        return _in_microseconds(parameter, scalar).as_py()
    refuse_collection(function, parameter, value)
    _refuse_series(function, parameter, value)
    check_value(function, parameter, value)
    return value


def columns_of_values(call: Callable[..., Any], arguments: Sequence[Any], made: Container) -> Any:
    """Returns what a call with columns makes. Where they are all single values, its errors name no
    row.
    """
    try:
        return call(arguments, made, spread=True)
    except CallError as error:
        if made is Container.SCALAR and arguments and error.row == 0:
            error.locate(None)
        raise


def _in_microseconds(parameter: Parameter, scalar: pa.Scalar) -> pa.Scalar:
    """Python's own class, where pyarrow has pandas' for nanoseconds."""
    if parameter.type.unit != "ns" or parameter.type.kind is Kind.TIME:
        return scalar
    if parameter.type.kind is Kind.DURATION:
        return scalar.cast(pa.duration("us"))
    return scalar.cast(pa.timestamp("us", parameter.type.timezone))


def scalar_of(function: str, parameter: Parameter, value: Any) -> pa.Scalar:
    """Returns a Python value, or a pyarrow scalar, as a scalar of the declared type. Raises
    TypeMappingError.
    """
    declared = parameter.type.arrow
    if isinstance(value, pa.Scalar):
        try:
            array = pa.repeat(value, 1)
        except pa.ArrowNotImplementedError:  # of dictionaries and runs of extension types
            held = value.value if hasattr(value, "value") else value.as_py()
            return scalar_of(function, parameter, held)
        refuse_others(function, parameter, array.type, value)
        return _cast_value(function, parameter, array)
    value = _python_scalar(value)
    if value is None or _is_null(parameter, value):
        return pa.nulls(1, declared)[0] if parameter.type.is_nested else pa.scalar(None, declared)
    if _is_numpy_time(value):
        array = arrow_array(function, parameter, value.reshape(1))
        refuse_others(function, parameter, array.type, value)
        return _cast_value(function, parameter, array)
    if parameter.type.is_nested:
        return _nested_scalar(function, parameter, value)
    _refuse_series(function, parameter, value)
    try:
        return pa.scalar(_leaf(function, parameter, value), declared)
    except TypeMappingError:
        raise
    except _FAILURES as error:
        raise argument_error(
            function, parameter, f"is not a value of {declared}: {error}"
        ) from error


def _cast_value(function: str, parameter: Parameter, array: pa.Array) -> pa.Scalar:
    """Returns the value of an array of one as the declared type. Errors name no row of it."""
    try:
        return cast_argument(function, parameter, array)[0]
    except TypeMappingError as error:
        if error.row is None:
            raise
        raise argument_error(function, parameter, error.reason) from error.__cause__


def refuse_collection(function: str, parameter: Parameter, value: object) -> None:
    """Raises TypeMappingError for Python's own collections in the place of columns."""
    is_single = parameter.type.is_nested or isinstance(value, _NO_COLLECTIONS)
    if not is_single and isinstance(value, (Sequence, Set, Iterator)):
        raise wrong_type(
            function,
            parameter,
            f"{type(value).__name__}: as a column, pass numpy.array(...) or pyarrow.array(...)"
            " of it",
        )


def _refuse_series(function: str, parameter: Parameter, value: Any) -> None:
    """Columns of other libraries, whose nulls and results are not for us to guess."""
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        found = f"a {type(value).__module__.partition('.')[0]} {type(value).__name__}"
        raise wrong_type(
            function,
            parameter,
            f"{found}: pass it as a numpy array or pyarrow array, such as pyarrow.array(...)",
        )


def _python_scalar(value: Any) -> Any:
    """Scalars of numpy, in an array or not, as Python has them; times remain. Buffers of pyarrow
    are bytes.
    """
    if isinstance(value, pa.Buffer):
        return value.to_pybytes()
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return value
    if isinstance(value, numpy.ndarray) and not value.ndim:
        value = None if value.tolist() is None else value[()]  # None where it is masked
    if isinstance(value, numpy.void) and value.dtype.names:
        return {name: _python_scalar(value[name]) for name in value.dtype.names}
    return value.item() if isinstance(value, numpy.generic) and not _is_numpy_time(value) else value


def _is_numpy_time(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.datetime64, numpy.timedelta64))


def _is_null(parameter: Parameter, value: Any) -> bool:
    """Whether a value stands for null where the parameter is: NaT does for dates and times."""
    is_temporal = parameter.type.kind in (Kind.DATE, Kind.DATETIME, Kind.TIME, Kind.DURATION)
    if is_missing(value):
        return is_temporal or type(value).__name__ == "NAType"
    class_ = "timedelta64" if parameter.type.kind is Kind.DURATION else "datetime64"
    if not is_temporal or not _is_numpy_time(value) or type(value).__name__ != class_:
        return False
    return bool(value != value)  # noqa: PLR0124 - as NaN


def _leaf(function: str, parameter: Parameter, value: Any) -> Any:
    """Returns a checked value that holds no other as pyarrow takes it. Raises TypeMappingError."""
    check_value(function, parameter, value)
    if parameter.type.kind is Kind.FLOAT:
        return exact_float(value, parameter.type.name)
    if parameter.type.kind is Kind.INT:
        return int(operator.index(value))
    if parameter.type.kind is Kind.DECIMAL:
        from udfvm.types.decimals import exact_decimal

        return exact_decimal(value, parameter.type.name)
    return bytes(value) if isinstance(value, memoryview) else value


# ---- Lists and structs ----


class _Misfit(Exception):
    """A value in a list or struct that is not of its type. ``reason`` continues a sentence whose
    subject is where the value is.
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place

    def inside(self, place: str) -> _Misfit:
        """Returns the error for what holds the value."""
        return _Misfit(self.reason, f"{place}, {self.place}" if self.place else place)


def _nested_scalar(function: str, parameter: Parameter, value: object) -> pa.Scalar:
    """Returns a list or tuple for a list, a mapping for a struct; what they hold likewise."""
    declared = parameter.type.arrow
    try:
        made = array_of([_held(function, parameter, declared, value)], declared)[0]
        if parameter.type.exact is None:
            return made
        return _cast_value(function, parameter, pa.repeat(made, 1))
    except TypeMappingError:
        raise
    except _Misfit as misfit:
        reason = misfit.reason
        if misfit.place:
            reason = f"is not a {parameter.type}: {misfit.place} {reason}"
        raise argument_error(function, parameter, reason) from None
    except _FAILURES as error:
        raise argument_error(function, parameter, f"is not a {parameter.type}: {error}") from error


def _held(function: str, parameter: Parameter, type_: pa.DataType, value: Any) -> Any:
    """Returns a value of a type with all that it holds checked: pyarrow drops and guesses. Raises
    _Misfit.
    """
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return _held_struct(function, parameter, type_, value)
    if pa.types.is_union(type_):
        return _held_in_union(function, parameter, type_, value)
    if pa.types.is_map(type_):
        return _held_map(function, parameter, type_, value)
    if holds_others(type_):
        return _held_list(function, parameter, type_, value)
    return _held_leaf(function, parameter, type_, value)


def _held_list(function: str, parameter: Parameter, type_: pa.DataType, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)) and container_of(value) is not Container.NUMPY:
        raise _Misfit(f"is declared {type_}, which takes a list; got {type(value).__name__}")
    held: list[Any] = []
    try:
        for item in value:
            held.append(_held(function, parameter, type_.value_type, item))  # noqa: PERF401
    except _Misfit as misfit:
        raise misfit.inside(f"item {len(held)}") from None
    return held


def _held_map(
    function: str, parameter: Parameter, type_: pa.DataType, value: Any
) -> list[tuple[Any, Any]]:
    try:
        pairs = pairs_of(value)
    except TypeError as error:
        raise _Misfit(f"is declared {type_}: {error}") from None
    held: list[tuple[Any, Any]] = []
    try:
        for key, each in pairs:
            if key is None:
                raise _Misfit(f"is declared {type_}, whose keys are not null")
            made = _held(function, parameter, type_.key_type, key)
            held.append((made, _held(function, parameter, type_.item_type, each)))
    except _Misfit as misfit:
        raise misfit.inside(f"entry {len(held)}") from None
    return held


def _held_in_union(function: str, parameter: Parameter, type_: pa.DataType, value: Any) -> Chosen:
    def check_of(index: int) -> Callable[[Any], Any]:
        return lambda each: _held(function, parameter, type_.field(index).type, each)

    value = _python_scalar(value)
    chosen = choose(value, map(check_of, range(type_.num_fields)), (_Misfit,))
    if chosen is None:
        raise _Misfit(f"is declared {type_}, none of whose types takes {short(value)}")
    return chosen


def _held_struct(
    function: str, parameter: Parameter, type_: pa.DataType, value: Any
) -> dict[str, Any] | list[tuple[str, Any]]:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        return _held_pairs(function, parameter, fields, value)
    value = as_mapping(value)
    if not isinstance(value, Mapping):
        raise _Misfit(f"is declared {type_}, which takes a mapping; got {type(value).__name__}")
    unknown = [key for key in value if key not in names]
    if unknown:
        raise _Misfit(f"has {unknown[0]!r}, which is not a field of {type_}")
    held: dict[str, Any] = {}
    try:
        for field in fields:
            held[field.name] = _held(function, parameter, field.type, value.get(field.name))
    except _Misfit as misfit:
        raise misfit.inside(f"field {names[len(held)]!r}") from None
    return held


def _held_pairs(
    function: str, parameter: Parameter, fields: Sequence[pa.Field], value: Any
) -> list[tuple[str, Any]]:
    """Returns a struct in which fields have the same name."""
    held: list[tuple[str, Any]] = []
    try:
        for field, each in zip(
            fields, values_in_pairs(value, [field.name for field in fields]), strict=True
        ):
            held.append((field.name, _held(function, parameter, field.type, each)))
    except TypeError as error:
        raise _Misfit(f"is not a struct of fields with equal names: {error}") from None
    except _Misfit as misfit:
        raise misfit.inside(f"field {fields[len(held)].name!r}") from None
    return held


def _held_leaf(function: str, parameter: Parameter, type_: pa.DataType, value: Any) -> Any:
    if isinstance(value, (list, tuple)) and not isinstance(value, pa.MonthDayNano):
        raise _Misfit(
            f"is declared {type_}; got {type(value).__name__}; as a column of lists, pass"
            " pyarrow.array(...) of it"
        )
    inner = parameter._replace(type=named(type_name(type_)))
    value = _python_scalar(value)
    if _is_null(inner, value):
        return None
    try:
        if _is_numpy_time(value):
            return scalar_of(function, inner, value).as_py()
        return _leaf(function, inner, value)
    except TypeMappingError as error:
        raise _Misfit(error.reason) from None
