"""Functions in micro-VMs as SQL functions of DataFusion.

``register(ctx, score)`` gives DataFusion a function that takes and returns columns: its threads
call it with batches, several at once. Each batch is a call, in a micro-VM of its own. Nothing is
done for each row in Python on the host.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.checks import shown
from udfvm.engines.datafusion_queries import calls_of_query, stream_begins
from udfvm.engines.datafusion_streams import watch_streams
from udfvm.engines.packages import load_package
from udfvm.engines.registered_names import RegisteredNames
from udfvm.errors import SignatureError, TypeMappingError, hides_frames
from udfvm.functions.function import Function
from udfvm.functions.integration import bound_arguments
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.functions.table import TableFunction

__all__ = ["register", "unregister"]

_datafusion: Final = load_package(
    "datafusion", engine="datafusion", package="datafusion", oldest="55.0"
)

_names: Final = RegisteredNames[Function]("datafusion", "DataFusion", "context", ignores_case=False)


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options("udfvm.datafusion.register", elsewhere=OF_FUNCTIONS)
def register(
    context: Any, /, *functions: Function, name: str | None = None, replace: bool = True
) -> None:
    """Makes functions SQL functions of a session of DataFusion.

    Images are built, or taken from the cache, here and not in the first query.

    Scalar functions and aggregates are functions of the same name, and table functions stand after
    ``FROM``, with constants for their parameters. DataFusion casts arguments to the declared types
    where it does so for its own functions. A NULL for a parameter that does not allow None makes
    the result NULL without a call. Functions are volatile, because they may be random; with
    ``deterministic=True`` they are immutable.

    Args:
        context: a ``datafusion.SessionContext``.
        functions: functions of any form; vectorised ones that are declared ``elementwise=True``.
        name: the name in SQL of a single function. Default: each function's own.
        replace: True replaces functions of these names that ``register`` gave to the context. False
            refuses such names. Names of other scalar and aggregate functions are refused in any
            case.

    Raises:
        SignatureError: a name is taken or not valid, or DataFusion cannot have such a function.
        BuildError: an image cannot be built.

    >>> import datafusion
    >>> @udfvm.udf
    ... def initials(name: str) -> str:
    ...     return "".join(word[0] for word in name.split())
    >>> ctx = datafusion.SessionContext()
    >>> udfvm.datafusion.register(ctx, initials)
    >>> ctx.sql("SELECT initials('Ada Lovelace') AS name").to_pydict()
    {'name': ['AL']}
    """
    _check_context("udfvm.datafusion.register", context)
    watch_streams(_datafusion.RecordBatchStream, stream_begins)
    named = _names.named(functions, name, replace=replace)
    made = [_made(*each) for each in named]
    foreign = {*context.udfs(), *context.udafs(), *context.udwfs()} - {*_names.of(context)}
    _names.check(context, named, lambda each: each if each in foreign else None, replace=replace)
    for _, function in named:
        function.prepare()
    for (each_name, function), each in zip(named, made, strict=True):
        _remove(context, each_name)
        getattr(context, f"register_{_KINDS[function.form]}")(each)
        again = functools.partial(register, name=each_name)
        _names.add(context, each_name, function, function, again)


@checks_options("udfvm.datafusion.unregister")
def unregister(context: Any, /, *functions_or_names: Function | str) -> None:
    """Removes functions from a session that ``register`` gave them to.

    Args:
        context: the ``datafusion.SessionContext``.
        functions_or_names: names in SQL, or functions, which stand for their own names.

    Raises:
        UnknownUDFError: the session does not have one of them.

    >>> import datafusion
    >>> @udfvm.udf
    ... def doubled(x: int) -> int:
    ...     return 2 * x
    >>> ctx = datafusion.SessionContext()
    >>> udfvm.datafusion.register(ctx, doubled, name="twice")
    >>> udfvm.datafusion.unregister(ctx, "twice")
    """
    _check_context("udfvm.datafusion.unregister", context)
    for name in _names.to_remove(context, functions_or_names):
        _remove(context, name)


#: What DataFusion calls functions of a form.
_KINDS: Final = {"scalar": "udf", "vectorized": "udf", "aggregate": "udaf", "table": "udtf"}


def _check_context(caller: str, context: object) -> None:
    if not isinstance(context, _datafusion.SessionContext):
        raise SignatureError(
            f"{caller} takes a datafusion.SessionContext first; got {shown(context)}"
        )


def _made(name: str, function: Any) -> Any:
    """Returns what a session takes for a function. Raises SignatureError for one that DataFusion
    cannot have.
    """
    from udfvm.engines.datafusion_calls import Accumulator, Scalar, state_type

    if function.form == "table":
        return _datafusion.udtf(_TableMaker(function), name)
    _check_form(function)
    types = [each.type.as_declared_decoded for each in function.parameters]
    result = function.result.type.as_declared_decoded
    volatility = "immutable" if function.limits.deterministic else "volatile"
    if function.form == "aggregate":
        state, begin = [state_type(function)], functools.partial(Accumulator, function)
        return _datafusion.udaf(begin, types, result, state, volatility, name)
    return _datafusion.udf(Scalar(function), types, result, volatility, name)


def _check_form(function: Function) -> None:
    what = f"UDF {function.name!r}: a function of DataFusion"
    if function.is_variadic:
        raise SignatureError(f"{what} has a fixed number of parameters: declare them one by one")
    if function.form == "aggregate":
        if not function.parameters:
            raise SignatureError(f"{what} that is an aggregate has at least one parameter")
        return
    if not function.elementwise:
        raise SignatureError(
            f"{what} sees rows in batches: declare elementwise=True if each value depends on its"
            " row alone, or make it an aggregate"
        )
    if not function.parameters and not function.limits.deterministic:
        raise SignatureError(
            f"{what} without parameters has one value: declare deterministic=True, or a parameter"
        )


def _remove(context: Any, name: str) -> None:
    """Removes a function, if the session was given it."""
    found = _names.pop(context, name)
    if found is not None:
        getattr(context, f"deregister_{_KINDS[found.form]}")(name)


class _TableMaker:
    """What DataFusion calls when a query names a table function."""

    def __init__(self, function: TableFunction) -> None:
        self._function = function

    @hides_frames
    def __call__(self, *expressions: Any) -> Any:
        from udfvm.engines.datafusion_tables import Rows

        function = self._function
        with calls_of_query():
            values = [self._value(place, each) for place, each in enumerate(expressions)]
            return Rows(function, bound_arguments(function, values, {}))

    def _value(self, place: int, expression: Any) -> Any:
        """Returns the value of a constant expression, as the parameter has it."""
        try:
            value = expression.python_value()
        except Exception as error:  # noqa: BLE001 - DataFusion's have no class of their own
            raise TypeMappingError(
                f"UDF {self._function.name!r}: table functions of DataFusion take constants; got"
                f" {expression}"
            ) from error
        if not isinstance(value, pa.Scalar):
            return value
        parameters = self._function.parameters
        wanted = parameters[place].type.arrow if place < len(parameters) else value.type
        return _cast(value, wanted).as_py()


def _cast(value: Any, wanted: pa.DataType) -> Any:
    """Returns a number or time as the type that a parameter has; others as they are."""
    for kinds in (_NUMBERS, _TIMES):
        if any(each(value.type) for each in kinds) and any(each(wanted) for each in kinds):
            try:
                return value.cast(wanted)
            except pa.ArrowInvalid:  # the function says what is wrong
                return value
    return value


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_TIMES: Final = (pa.types.is_date, pa.types.is_timestamp)
