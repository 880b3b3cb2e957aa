"""Functions in Polars: expressions of scalar and vectorised functions and of aggregates, and table
functions as sources of rows.

>>> import polars as pl
>>> @udfvm.udf
... def speed(distance: float, hours: float) -> float | None:
...     return distance / hours if hours else None
>>> flights = pl.DataFrame({"distance": [300.0, 100.0], "hours": [2.0, 0.0]})
>>> flights.select(speed=udfvm.polars.expr(speed, "distance", "hours"))["speed"].to_list()
[150.0, None]
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec.struct_columns import imported
from udfvm.engines.failures import locate_in, made_anew
from udfvm.engines.packages import load_package
from udfvm.engines.results import decoded_column
from udfvm.errors import Error, SignatureError, TypeMappingError, hides_frames
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.engine_calls import call_of_engine
from udfvm.functions.engine_numbers import NumberCalls, has_number_calls
from udfvm.functions.integration import (
    bound_arguments,
    check_functions,
    results_of_values,
    value_of_group,
)
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction
from udfvm.types.polars_types import for_polars, is_broken, is_lacking

if TYPE_CHECKING:
    import polars as pl

    from udfvm.functions.function import Function
else:
    pl = load_package("polars", engine="polars", package="polars", oldest="2.0")

_OneValue = ScalarFunction | AggregateFunction

__all__ = ["expr", "register", "scan"]


def __dir__() -> list[str]:
    return sorted(__all__)


@hides_frames
def expr(function: Function, /, *arguments: Any, **keywords: Any) -> pl.Expr:
    """Returns an expression of Polars that calls a function.

    A query calls the function with the columns that Polars has at a time: with all rows in memory,
    with parts of them in the streaming engine, on several threads and micro-VMs at once. The type
    of the result is known before a query runs. Elementwise functions are told to be so, thus
    filters pass them, and the streaming engine cuts their rows into parts.

    An aggregate has one value for all rows; in ``group_by(...).agg(...)`` and ``over(...)`` one
    for each group, which is a call each.

    Args:
        function: a scalar or vectorised function, or an aggregate.
        arguments, keywords: for each parameter the name of a column, an expression, or a value.
            A text is a name; ``polars.lit("text")`` is a text.

    Returns:
        An expression with the name of its first column, or of the function if it has none.

    Raises:
        SignatureError: it is a table function, or no function of micro-VMs.
        TypeMappingError: the arguments do not fit the parameters, or Polars has no type for the
            result.
        BuildError: the image cannot be built.

    Queries raise the errors of calls, with what Polars adds. Their ``row`` counts in the part or
    group that the call was made with.

    >>> import polars as pl
    >>> @udfvm.udf
    ... def share(x: float, whole: float) -> float:
    ...     return x / whole
    >>> pl.DataFrame({"a": [1.0, 4.0]}).select(udfvm.polars.expr(share, "a", 2.0)).rows()
    [(0.5,), (2.0,)]
    """
    check_functions("udfvm.polars.expr", [function], None)
    if not isinstance(function, (ScalarFunction, AggregateFunction)):
        raise SignatureError(
            f"udfvm.polars.expr: {function.name!r} is a table function, and an expression has one"
            f" value for each row: call udfvm.polars.scan({function.name}, ...), or"
            f" {function.name}.map(frame)"
        )
    named = {name: _as_expression(function, each) for name, each in keywords.items()}
    places = [_as_expression(function, each) for each in arguments]
    given = bound_arguments(function, places, named)
    columns = [each for each in given if isinstance(each, pl.Expr)]
    values = [_COLUMN if isinstance(each, pl.Expr) else each for each in given]
    is_aggregate = function.form == "aggregate"
    call = _Call(function.prepare(), values, dtype_of(function))
    made = pl.map_batches(
        columns or [pl.int_range(pl.len())],  # which has a row for each
        call,
        return_dtype=call.dtype,
        is_elementwise=function.elementwise and not is_aggregate,
        returns_scalar=is_aggregate,
    )
    return made if columns else made.alias(function.name)


@hides_frames
def scan(function: TableFunction, /, *arguments: Any, **keywords: Any) -> pl.LazyFrame:
    """Returns a lazy frame with the rows of a table function.

    Each query calls the function, which runs only as far as the query takes rows. Filters and
    selections of columns are made on its batches, outside of the micro-VM.

    Args:
        function: the table function.
        arguments, keywords: a value for each parameter.

    Raises:
        SignatureError: it is no table function.
        TypeMappingError: the arguments do not fit the parameters, or Polars has no type for a
            column.
        BuildError: the image cannot be built.

    >>> @udfvm.table_function(columns={"i": int, "square": int})
    ... def squares(count: int):
    ...     for i in range(count):
    ...         yield i, i * i
    >>> udfvm.polars.scan(squares, 100).filter(pl.col("i") > 97).collect().rows()
    [(98, 9604), (99, 9801)]
    """
    check_functions("udfvm.polars.scan", [function], None)
    if not isinstance(function, TableFunction):
        raise SignatureError(
            f"udfvm.polars.scan takes a table function, and {function.name!r} has one value for"
            f" each row: call udfvm.polars.expr({function.name}, ...)"
        )
    given = bound_arguments(function, arguments, keywords)
    schema = {
        each.name: _dtype(function.name, each.type.as_declared_decoded, f"column {each.name!r}")
        for each in function.columns
    }
    return pl.io.plugins.register_io_source(
        _Source(function.prepare(), given, schema),
        schema=schema,
        is_pure=function.limits.deterministic,
        explain_name=function.name,
    )


def register() -> None:
    """Gives expressions of Polars the namespace ``udfvm``: ``polars.col("a").udfvm(function)``.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> udfvm.polars.register()
    >>> frame = pl.DataFrame({"a": [1.0, 4.0]})
    >>> frame.filter(pl.col("a").udfvm(half) > 1).rows()
    [(4.0,)]
    """
    if getattr(pl.Expr, "udfvm", None) is not _Namespace:
        pl.api.register_expr_namespace("udfvm")(_Namespace)


class _Namespace:
    """``expression.udfvm``: functions with the expression as their first argument.

    >>> @udfvm.udf
    ... def share(x: float, whole: float) -> float:
    ...     return x / whole
    >>> udfvm.polars.register()
    >>> pl.DataFrame({"a": [1.0, 4.0]}).select(pl.col("a").udfvm(share, 2.0)).rows()
    [(0.5,), (2.0,)]
    """

    def __init__(self, expression: pl.Expr) -> None:
        self._expression = expression

    def __call__(self, function: Function, /, *arguments: Any, **keywords: Any) -> pl.Expr:
        """Returns ``udfvm.polars.expr(function, expression, ...)``."""
        return expr(function, self._expression, *arguments, **keywords)


def dtype_of(function: Function) -> pl.DataType:
    """Returns the type that results of a function have in Polars. Raises TypeMappingError if it has
    none for them.
    """
    return _dtype(function.name, function.result.type.as_declared_decoded, "the result")


class _Column:
    """Stands for a column among the arguments of a call."""

    def __reduce__(self) -> str:
        return "_COLUMN"


_COLUMN = _Column()


def _as_expression(function: Function, argument: Any) -> Any:
    """Returns an argument of ``expr``: an expression, or a value."""
    if isinstance(argument, str):
        return pl.col(argument)
    if isinstance(argument, (pl.Series, pl.DataFrame, pl.LazyFrame)):
        raise TypeMappingError(
            f"UDF {function.name!r}: udfvm.polars.expr takes names of columns, expressions and"
            f" values; got a {type(argument).__name__}: call {function.name}(series)"
        )
    return argument


def _dtype(function: str, type_: pa.DataType, what: str) -> pl.DataType:
    reason: object = "it has no such type"
    try:
        if not is_lacking(type_):
            return pl.Series(for_polars(pa.array([], type_))).dtype
    except (pl.exceptions.PolarsError, TypeError, ValueError, NotImplementedError) as error:
        reason = error
    raise TypeMappingError(
        f"UDF {function!r}: {what} is of {type_}, which polars cannot hold ({reason}): declare"
        " another type"
    )


def _decoded_series(name: str, column: Any, type_: pa.DataType) -> pl.Series:
    """Returns a column of Arrow as a Series without encodings and extension types."""
    return pl.Series(name, for_polars(decoded_column(column).cast(type_)))


def _is_series(value: object) -> bool:
    return isinstance(value, pl.Series)


def _is_broken(value: object) -> bool:
    return _is_series(value) and is_broken(value)


class _Call:
    """What Polars calls with columns."""

    def __init__(self, function: _OneValue, values: Sequence[Any], dtype: pl.DataType) -> None:
        self._function = function
        self._values = values
        self._numbers: NumberCalls | None = None
        self._takes_columns = bool(values) and all(each is _COLUMN for each in values)
        self.dtype = dtype

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_numbers": None}  # which are of this process

    @hides_frames
    def __call__(self, columns: Sequence[pl.Series]) -> pl.Series:
        rows = self._rows(columns)
        left = iter(
            # A literal has one row.
            [each if len(each) == rows else each.new_from_index(0, rows) for each in columns]
        )
        given = [next(left) if each is _COLUMN else each for each in self._values]
        function = self._function
        of = "group" if isinstance(function, AggregateFunction) else "batch"
        with _errors_for_polars(of):
            made = self._call_numbers(given)
            if made is not NotImplemented:
                return made if made.dtype == self.dtype else made.cast(self.dtype)
        with _errors_for_polars(of), call_of_engine("polars", raises=True):
            if isinstance(function, AggregateFunction):
                made = self._series(value_of_group(function, given))
            elif any(each is _COLUMN for each in self._values):
                made = self._called(given)
            else:
                made = self._series(results_of_values(function, given, rows))
        return made if made.dtype == self.dtype else made.cast(self.dtype)

    def _rows(self, columns: Sequence[pl.Series]) -> int:
        lengths = {len(each) for each in columns} - {1}
        if len(lengths) > 1:
            told = ", ".join(f"{each.name!r} has {len(each)}" for each in columns)
            raise TypeMappingError(
                f"UDF {self._function.name!r}: the expressions have different lengths: {told}"
            )
        return lengths.pop() if lengths else 1

    def _called(self, given: Sequence[Any]) -> pl.Series:
        """Polars has no runs, and casts no extension types: results that are declared so come as
        arrays of Arrow.
        """
        declared = self._function.result.type
        if declared.as_declared == declared.as_declared_decoded or any(map(_is_broken, given)):
            return self._function(*given)
        arrays = [pa.chunked_array(each) if _is_series(each) else each for each in given]
        return self._series(self._function(*arrays)).alias(next(filter(_is_series, given)).name)

    def _series(self, column: Any) -> pl.Series:
        return _decoded_series("", column, self._function.result.type.as_declared_decoded)

    def _call_numbers(self, columns: Sequence[pl.Series]) -> Any:
        """Returns the result of a call by the short way; NotImplemented where nothing was called:
        that is for numbers without nulls.
        """
        function = self._function
        if self._numbers is None:
            if not self._takes_columns or not has_number_calls(function):
                return NotImplemented
            self._numbers = NumberCalls(function, "polars", raises=True)
        if not all(each.dtype.is_numeric() for each in columns):
            return NotImplemented
        made = self._numbers.call_by_one(tuple(map(imported, columns)))
        return made if made is NotImplemented else pl.Series(columns[0].name, made)


class _Source:
    """What Polars asks for the rows of a table function."""

    def __init__(
        self, function: TableFunction, arguments: Sequence[Any], schema: dict[str, pl.DataType]
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._schema = schema

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        try:
            for frame in self._frames(n_rows):
                found = frame if predicate is None else frame.filter(predicate)
                yield found if with_columns is None else found.select(with_columns)
        except Error as error:
            error.drop_frames()
            raise

    def _frames(self, limit: int | None) -> Generator[pl.DataFrame]:
        yield pl.DataFrame(schema=self._schema)
        left = limit
        with contextlib.closing(self._function.batches(*self._arguments)) as batches:
            while left is None or left > 0:
                with _errors_for_polars("batch"), call_of_engine("polars", raises=True):
                    batch = next(batches, None)
                if batch is None:
                    return
                frame = pl.DataFrame(
                    {
                        each.name: _decoded_series(
                            each.name, column, each.type.as_declared_decoded
                        ).cast(self._schema[each.name])
                        for each, column in zip(self._function.columns, batch.columns, strict=True)
                    }
                )
                if left is not None:
                    frame = frame.head(left)
                    left -= len(frame)
                yield frame


@contextlib.contextmanager
def _errors_for_polars(of: str) -> Iterator[None]:
    """Makes errors of calls say what their row counts in, and stay what they are in Polars."""
    try:
        yield
    except Error as error:
        locate_in(error, of)
        raise made_anew(error) from error.__cause__
