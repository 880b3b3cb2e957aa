"""Columns of polars as arguments, and results as a Series of polars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import wrong_type
from udfvm.codec.containers import Container
from udfvm.codec.struct_columns import chosen_columns, imported
from udfvm.errors import TypeMappingError
from udfvm.types.polars_types import for_polars
from udfvm.types.unions import has_unions

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter

_BROKEN: Final = (
    ", which polars cannot hand over: it panics. It does so at decimals in lists and structs that"
    " it read as decimal32 or decimal64 of Arrow, and has wrong values of them: cast to decimal128"
    " before"
)


def is_mine(value: object) -> bool:
    """Returns True for a Series or DataFrame of polars."""
    polars: Any = sys.modules.get("polars")
    return polars is not None and isinstance(value, (polars.Series, polars.DataFrame))


def column(function: str, parameter: Parameter, value: Any) -> pa.ChunkedArray:
    """Returns a Series as Arrow has it; of a DataFrame its structs, or its only column. Raises
    TypeMappingError.
    """
    if hasattr(value, "to_struct"):  # a DataFrame
        chosen = chosen_columns(function, parameter, value.columns, "polars DataFrame")
        value = value[chosen] if isinstance(chosen, str) else value.select(chosen).to_struct("")
    if _holds_objects(value.dtype):
        raise _without_counterpart(function, parameter, value)
    if is_broken(value):
        raise wrong_type(function, parameter, f"a polars Series of {value.dtype}{_BROKEN}")
    try:
        return imported(value)
    except (pa.ArrowException, *_failures()) as error:
        raise _without_counterpart(function, parameter, value) from error


def check_frame(function: str, frame: Any) -> None:
    """Raises TypeMappingError for a DataFrame that has a column of a dtype without counterpart, or
    one that polars cannot hand over.
    """
    for name, dtype in frame.schema.items():
        if is_broken(frame[name]):
            raise TypeMappingError(
                f"UDF {function!r}: column {name!r} of the source of map() is of polars dtype"
                f" {dtype}{_BROKEN}"
            )
        if _holds_objects(dtype):
            raise TypeMappingError(
                f"UDF {function!r}: column {name!r} of the source of map() is of polars dtype"
                f" {dtype}, which Arrow has no counterpart for: leave it out by keep="
            )
        try:
            imported(frame[name].limit(0))
        except (pa.ArrowException, *_failures()) as error:
            raise TypeMappingError(
                f"UDF {function!r}: column {name!r} of the source of map() is of polars dtype"
                f" {dtype}, which Arrow has no counterpart for: cast it, such as by"
                f" frame.cast({{{name!r}: polars.Decimal(38, 0)}}), or leave it out by keep="
            ) from error


def _holds_objects(dtype: object) -> bool:
    """Whether polars exports the values by their addresses: they are objects of Python."""
    return "Object" in str(dtype)


def is_broken(series: Any) -> bool:
    """Whether polars would end the process where it hands a series over by the PyCapsule interface:
    there it panics in a callback. It does so elsewhere, too, where that raises an exception.
    """
    polars: Any = sys.modules["polars"]
    if not series.dtype.is_nested():
        return False
    try:
        for chunk in series.get_chunks():
            chunk.limit(0).to_arrow()
    except polars.exceptions.PanicException:
        return True
    return False


def _without_counterpart(function: str, parameter: Parameter, series: Any) -> TypeMappingError:
    advice = (
        "pyarrow.array(series.to_list())"
        if _holds_objects(series.dtype)
        else "series.cast(polars.Int64) or another type"
    )
    return wrong_type(
        function,
        parameter,
        f"a polars Series of {series.dtype}, which Arrow has no counterpart for: pass {advice}",
    )


def giving_back(function: str, given: Sequence[Any]) -> tuple[Container, Callable[[Any], Any]]:
    """Returns what to ask for as a result, and what makes a Series of it, with the name of the
    first that was given.
    """
    name = next((name for name in map(_name_of, given) if name is not None), "")
    polars: Any = sys.modules["polars"]

    def series(result: Any) -> Any:
        type_ = result.type
        reason: object = "it has no such type"
        try:
            if not (has_unions(type_) or _panics_at(type_)):
                return polars.Series(name, for_polars(result))
        except _failures() as error:
            reason = error
        raise TypeMappingError(
            f"UDF {function!r}: the result is an array of {type_}, which polars cannot hold"
            f" ({reason}): pass series.to_arrow(), and the result is an array of pyarrow"
        )

    return Container.ARRAY, series


def _panics_at(type_: pa.DataType) -> bool:
    """Whether polars ends with a panic at an array of a type."""
    if pa.types.is_decimal256(type_) or (
        pa.types.is_fixed_size_list(type_) and type_.list_size == 0
    ):
        return True
    return any(_panics_at(type_.field(index).type) for index in range(type_.num_fields))


def _name_of(value: Any) -> str | None:
    """Returns the name of a Series, or of the only column of a DataFrame."""
    if not hasattr(value, "to_struct"):
        return str(value.name)
    return str(value.columns[0]) if len(value.columns) == 1 else None


def _failures() -> tuple[type[Exception], ...]:
    polars: Any = sys.modules["polars"]
    return (polars.exceptions.PolarsError, TypeError, ValueError, NotImplementedError)
