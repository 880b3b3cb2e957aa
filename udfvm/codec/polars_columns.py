"""Columns of polars as arguments, and results as a Series of polars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.argument_errors import wrong_type
from udfvm.codec.containers import Container
from udfvm.codec.struct_columns import chosen_columns, imported
from udfvm.errors import TypeMappingError
from udfvm.types.arrow_types import Kind
from udfvm.types.polars_types import BROKEN, for_polars, is_broken, is_lacking

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter


def is_mine(value: object) -> bool:
    """Returns True for a Series or DataFrame of polars."""
    polars: Any = sys.modules.get("polars")
    return polars is not None and isinstance(value, (polars.Series, polars.DataFrame))


def column(function: str, parameter: Parameter, value: Any) -> pa.ChunkedArray:
    """Returns a Series as Arrow has it; of a DataFrame its structs, or its only column. Raises
    TypeMappingError.
    """
    if _is_frame(value):
        is_leaf = not any(dtype.is_nested() for dtype in value.dtypes)
        may_be_only = not (is_leaf and parameter.type.kind is Kind.STRUCT)
        chosen = chosen_columns(
            function, parameter, value.columns, "polars DataFrame", may_be_only=may_be_only
        )
        value = value[chosen] if isinstance(chosen, str) else value.select(chosen).to_struct("")
    if _holds_objects(value.dtype):
        raise _without_counterpart(function, parameter, value)
    if is_broken(value):
        raise wrong_type(function, parameter, f"a polars Series of {value.dtype}{BROKEN}")
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
                f" {dtype}{BROKEN}"
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


def _is_frame(value: object) -> bool:
    polars: Any = sys.modules["polars"]
    return isinstance(value, polars.DataFrame)


def _holds_objects(dtype: object) -> bool:
    """Whether polars exports the values by their addresses: they are objects of Python."""
    return "Object" in str(dtype)


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
            if not is_lacking(type_):
                return _with_levels(polars.Series(name, for_polars(result)), given)
        except _failures() as error:
            reason = error
        raise TypeMappingError(
            f"UDF {function!r}: the result is an array of {type_}, which polars cannot hold"
            f" ({reason}): pass series.to_arrow(), and the result is an array of pyarrow"
        )

    return Container.ARRAY, series


def _with_levels(made: Any, given: Sequence[Any]) -> Any:
    """Returns a Series; one of categories as the first Enum among the arguments that has them."""
    polars: Any = sys.modules["polars"]
    if made.dtype != polars.Categorical:
        return made
    dtypes = [
        dtype for each in given for dtype in (each.dtypes if _is_frame(each) else [each.dtype])
    ]
    present = set(made.unique().drop_nulls().cast(polars.String))
    for dtype in dtypes:
        if isinstance(dtype, polars.Enum) and present.issubset(dtype.categories):
            return made.cast(polars.String).cast(dtype)
    return made


def _name_of(value: Any) -> str | None:
    """Returns the name of a Series, or of the only column of a DataFrame."""
    if not _is_frame(value):
        return str(value.name)
    return str(value.columns[0]) if len(value.columns) == 1 else None


def _failures() -> tuple[type[Exception], ...]:
    polars: Any = sys.modules["polars"]
    return (polars.exceptions.PolarsError, TypeError, ValueError, NotImplementedError)
