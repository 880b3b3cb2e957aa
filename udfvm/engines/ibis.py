"""Functions in expressions of Ibis, over its DuckDB and Polars back ends."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.engines.duckdb_interrupts import (
    OfAnyDatabase,
    by_short_way,
    interruptible,
    short_calls,
    watch_interrupts,
)
from udfvm.engines.duckdb_types import (
    argument_converter,
    in_one_chunk,
    result_type,
)
from udfvm.engines.failures import made_anew
from udfvm.engines.packages import load_package
from udfvm.engines.results import readable
from udfvm.errors import (
    CallError,
    EngineError,
    Error,
    SignatureError,
    TypeMappingError,
    hides_frames,
)
from udfvm.functions.engine_calls import call_of_engine
from udfvm.functions.integration import check_functions
from udfvm.functions.scalar import ScalarFunction
from udfvm.types.nested_conversions import with_fields

if TYPE_CHECKING:
    from udfvm.functions.function import Function

__all__ = ["udf"]

_DECIMAL_DIGITS: Final = 38
_ibis: Final = load_package("ibis", engine="ibis", package="ibis-framework", oldest="12.0")
with contextlib.suppress(EngineError):  # there is no back end of DuckDB
    watch_interrupts(load_package("duckdb", engine="duckdb", package="duckdb", oldest="2.0"))


def __dir__() -> list[str]:
    return sorted(__all__)


@hides_frames
def udf(function: Function, /) -> Any:
    """Makes a function of expressions of Ibis, as the decorators of ``ibis.udf.scalar`` do.

    The back end casts arguments to the declared types, and hands over columns. A null for a
    parameter that does not allow None makes the result null without a call.

    Args:
        function: a scalar function, or a vectorised one that is declared ``elementwise=True``.

    Returns:
        What makes an expression of a column, expression or value for each parameter.

    Raises:
        SignatureError: Ibis cannot have such a function.
        TypeMappingError: Ibis has no such type.
        BuildError: the image cannot be built.

    >>> import ibis, pyarrow as pa
    >>> @udfvm.udf
    ... def speed(distance: float, hours: float) -> float | None:
    ...     return distance / hours if hours else None
    >>> flights = pa.table({"distance": [300.0, 100.0], "hours": [2.0, 0.0]})
    >>> flights = ibis.polars.connect().create_table("flights", flights)
    >>> speeds = udfvm.ibis.udf(speed)(flights.distance, flights.hours)
    >>> flights.select(speed=speeds).to_pyarrow().to_pydict()
    {'speed': [150.0, None]}
    """
    check_functions("udfvm.ibis.udf", [function], None)
    if not (isinstance(function, ScalarFunction) and function.elementwise):
        raise SignatureError(
            f"UDF {function.name!r}: udfvm.ibis.udf takes scalar functions, and vectorised ones"
            " that are declared elementwise=True, because back ends cut rows into batches"
        )
    if function.is_variadic or not function.parameters:
        raise SignatureError(
            f"UDF {function.name!r}: a function of Ibis has a fixed number of parameters, at least"
            " one"
        )
    parameters = [_dtype(function, each.type.as_declared_decoded) for each in function.parameters]
    result = _dtype(function, _in_milliseconds(function.result.type.as_declared_decoded))
    return _ibis.udf.scalar.pyarrow(
        _Called(function.prepare()),
        name=function.name,
        signature=(tuple(parameters), result),
        null_handling="special",
        side_effects=not function.limits.deterministic,
    )


def _dtype(function: Function, type_: pa.DataType) -> Any:
    reason = None
    if not _is_lacking(type_):
        try:
            return _ibis.expr.datatypes.DataType.from_pyarrow(type_)
        except (KeyError, NotImplementedError, TypeError, ValueError) as error:
            reason = error
    raise TypeMappingError(f"UDF {function.name!r}: Ibis has no type {type_}") from reason


def _is_lacking(type_: pa.DataType) -> bool:
    """Whether a type has decimals that no back end has, or fields of which Ibis forgets some."""
    if pa.types.is_decimal256(type_) and type_.precision > _DECIMAL_DIGITS:
        return True
    fields = [type_.field(index) for index in range(type_.num_fields)]
    return len({each.name for each in fields}) < len(fields) or any(
        _is_lacking(each.type) for each in fields
    )


def _in_milliseconds(type_: pa.DataType) -> pa.DataType:
    """Ibis expects nanoseconds of Polars where a function has seconds, and Polars has neither the
    seconds nor the years 2263 to 9999 in nanoseconds.
    """
    if pa.types.is_timestamp(type_) and type_.unit == "s":
        return pa.timestamp("ms", type_.tz)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    if not fields:
        return type_
    return with_fields(type_, [each.with_type(_in_milliseconds(each.type)) for each in fields])


class _Called(OfAnyDatabase):
    """What back ends call with columns."""

    def __init__(self, function: ScalarFunction, database: str = "") -> None:
        """``database``: that of DuckDB which calls it, so that interrupts end its calls."""
        self._function = function
        self._database = database
        self._converters = [argument_converter(each.type) for each in function.parameters]
        self._type = _in_milliseconds(result_type(function.result.type))
        is_read = self._type == function.result.type.arrow
        self._short = short_calls(function, database) if database and is_read else None
        self.__name__ = self.__qualname__ = function.name

    @property
    def __signature__(self) -> inspect.Signature:
        """Back ends read the parameters from here."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [each.name for each in self._function.parameters]
        return inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def of(self, database: str) -> _Called:
        """Returns the same for a database of DuckDB."""
        return _Called(self._function, database)

    @hides_frames
    def __call__(self, *columns: Any) -> Any:
        """One call with a batch. Failures count their row in the batch."""
        try:
            made, was_ended = by_short_way(self._short, columns)
            if made is not NotImplemented:
                return made
            given = [
                in_one_chunk(each) if convert is None else convert(each)
                for each, convert in zip(columns, self._converters, strict=True)
            ]
            call = functools.partial(self._call, given)
            if self._database:
                may_repeat = self._function.host_functions is None
                name = self._function.name
                return interruptible(
                    self._database, name, call, may_repeat=may_repeat, was_ended=was_ended
                )
            with call_of_engine("polars", raises=True):
                return call()
        except Error as error:
            if isinstance(error, (CallError, TypeMappingError)):
                error.locate(error.row, of="batch")
            raise made_anew(error) from error.__cause__  # Polars makes errors of their texts

    def _call(self, columns: list[Any]) -> Any:
        engine = "DuckDB" if self._database else "Polars"
        return readable(engine, self._function.name, self._function(*columns), self._type)
