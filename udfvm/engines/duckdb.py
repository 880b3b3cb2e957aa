"""Functions in micro-VMs as SQL functions of DuckDB.

``register(con, score)`` gives DuckDB a function that takes and returns columns: DuckDB's threads
call it with batches of at most 2,048 rows, several at once. Each batch is a call, in a micro-VM of
its own. Nothing is done for each row in Python on the host.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import check_switch, shown
from udfvm.engines.duckdb_types import argument_converter, duckdb_type, result_type, widened
from udfvm.engines.packages import load_package
from udfvm.errors import CallError, SignatureError, TypeMappingError, UnknownUDFError
from udfvm.functions.function import checked_name
from udfvm.functions.integration import calls_of, check_functions, names_of
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.types.arrow_types import Parameter

__all__ = ["register", "unregister"]

_duckdb: Final = load_package("duckdb", engine="duckdb", package="duckdb", oldest="2.0")


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options("udfvm.duckdb.register", elsewhere=OF_FUNCTIONS)
def register(
    connection: Any, /, *functions: Function, name: str | None = None, replace: bool = True
) -> None:
    """Makes functions SQL functions of a DuckDB connection, and of its cursors.

    Images are built, or taken from the cache, here and not in the first query.

    DuckDB casts arguments to the declared types where it does so for its own functions. A NULL for
    a parameter that does not allow None makes the result NULL without a call. A function has a
    value for each row, because it may be random. With ``deterministic=True`` DuckDB may call it
    once for constants, and once for what a query says twice.

    Args:
        connection: a connection, as ``duckdb.connect()`` makes it.
        functions: scalar functions, and vectorised ones that are declared ``elementwise=True``.
        name: the name in SQL of a single function. Default: each function's own.
        replace: True replaces a function of that name that ``register`` gave to the connection.
            False refuses a name that DuckDB has a function of.

    Raises:
        SignatureError: a name is taken or not valid, or DuckDB cannot have such a function.
        TypeMappingError: a function has a type that DuckDB does not have.
        BuildError: an image cannot be built.

    >>> import duckdb
    >>> @udfvm.udf
    ... def initials(name: str) -> str:
    ...     return "".join(word[0] for word in name.split())
    >>> con = duckdb.connect()
    >>> udfvm.duckdb.register(con, initials)
    >>> con.sql("SELECT initials('Ada Lovelace')").fetchall()
    [('AL',)]
    """
    _check_connection("udfvm.duckdb.register", connection)
    check_switch("udfvm.duckdb.register: replace", replace)
    check_functions("udfvm.duckdb.register", functions, name)
    made = [_Registered(each.name if name is None else name, each) for each in functions]
    for each in made:
        if not replace and _is_taken(connection, each.name):
            raise SignatureError(
                f"udfvm.duckdb.register: DuckDB has a function {each.name!r}: pass another name=,"
                " or replace=True"
            )
    for each in made:
        each.function.prepare()
    for each in made:
        if _is_taken(connection, each.name):
            _remove(connection, each.name)
        each.create(connection)


@checks_options("udfvm.duckdb.unregister")
def unregister(connection: Any, /, *functions_or_names: Function | str) -> None:
    """Removes functions from a connection that ``register`` gave them to.

    Args:
        connection: the connection.
        functions_or_names: names in SQL, or functions, which stand for their own names.

    Raises:
        UnknownUDFError: the connection does not have one of them.

    >>> import duckdb
    >>> @udfvm.udf
    ... def doubled(x: int) -> int:
    ...     return 2 * x
    >>> con = duckdb.connect()
    >>> udfvm.duckdb.register(con, doubled, name="twice")
    >>> udfvm.duckdb.unregister(con, "twice")
    """
    _check_connection("udfvm.duckdb.unregister", connection)
    for name in names_of("udfvm.duckdb.unregister", functions_or_names):
        if not _remove(connection, name):
            raise UnknownUDFError(
                f"udfvm.duckdb.unregister: the connection has no UDF {name!r} of register()"
            )


class _Registered:
    """A function with its name in DuckDB: what DuckDB calls.

    Raises SignatureError or TypeMappingError for a function that DuckDB cannot have.
    """

    def __init__(self, name: str, function: Function) -> None:
        self.name = checked_name(name)
        self.function = function
        if not function.elementwise or function.form not in ("scalar", "vectorized"):
            raise SignatureError(
                f"UDF {function.name!r}: DuckDB cuts its rows into batches, and a vectorised"
                " function sees one batch at a time: declare elementwise=True, if it works row by"
                " row"
            )
        try:
            self._types = [duckdb_type(each.type) for each in function.parameters]
            self._result = duckdb_type(function.result.type)
        except TypeMappingError as error:
            raise TypeMappingError(f"UDF {function.name!r}: {error}") from None
        self._converters = [_converter(function, each) for each in function.parameters]
        self._converts = any(self._converters)
        self._result_type = result_type(function.result.type)
        # DuckDB reads the number of arguments from here.
        kind = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(f"argument_{n}", kind) for n in range(len(self._types))]
        if function.is_variadic:
            parameters = [inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)]
        self.__signature__ = inspect.Signature(parameters)

    def create(self, connection: Any) -> None:
        """Gives the function to DuckDB."""
        connection.create_function(
            self.name,
            self,
            None if self.function.is_variadic else self._types,
            self._result,
            type="arrow",
            null_handling="special",
            side_effects=not self.function.limits.deterministic,
        )

    def __call__(self, *columns: Any) -> Any:
        """One call with a batch. Failures count their row in the batch."""
        try:
            arrays = self._arguments(columns)
            calls = calls_of(self.function, len(arrays))
            result = calls.call_small(arrays)
            if result is NotImplemented:
                result = calls.call_columns(arrays)
        except (CallError, TypeMappingError) as error:
            error.locate(error.row, of="batch")
            raise
        return result if result.type == self._result_type else result.cast(self._result_type)

    def _arguments(self, columns: Sequence[Any]) -> tuple[Any, ...]:
        arrays = [each.chunk(0) if each.num_chunks == 1 else each for each in columns]
        if self._converts:
            rest = itertools.repeat(self._converters[-1])  # for the values of *args
            converters = itertools.chain(self._converters, rest)
            arrays = [
                each if convert is None else convert(each)
                for each, convert in zip(arrays, converters, strict=False)
            ]
        return tuple(arrays)


def _converter(function: Function, parameter: Parameter) -> Callable[[Any], Any] | None:
    """Returns what makes of a column of DuckDB one that the function takes; None for nothing."""
    convert = argument_converter(parameter.type)
    if convert is None and function.is_variadic:
        return lambda column: widened(column, parameter.type)
    return convert


def _check_connection(caller: str, connection: object) -> None:
    if not isinstance(connection, _duckdb.DuckDBPyConnection):
        raise SignatureError(
            f"{caller} takes a connection of duckdb first, as duckdb.connect() makes it; got"
            f" {shown(connection)}"
        )


def _is_taken(connection: Any, name: str) -> bool:
    query = "SELECT count(*) FROM duckdb_functions() WHERE lower(function_name) = lower(?)"
    return bool(connection.cursor().execute(query, [name]).fetchone()[0])


def _remove(connection: Any, name: str) -> bool:
    """Removes a function that was given to the connection. Returns False if there is none."""
    try:
        connection.remove_function(name)
    except _duckdb.InvalidInputException:
        return False
    return True
