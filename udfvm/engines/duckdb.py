"""Functions in micro-VMs as SQL functions of DuckDB.

``register(con, score)`` gives DuckDB a function that takes and returns columns: DuckDB's threads
call it with batches of at most 2,048 rows, several at once. Each batch is a call, in a micro-VM of
its own. Nothing is done for each row in Python on the host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import shown
from udfvm.engines.duckdb_functions import Registered, TableScan, made_for
from udfvm.engines.duckdb_interrupts import database_of, watch_interrupts
from udfvm.engines.duckdb_types import quoted
from udfvm.engines.packages import load_package
from udfvm.engines.registered_names import RegisteredNames
from udfvm.errors import SignatureError, hides_frames
from udfvm.functions.integration import check_functions
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.functions.table import TableFunction

__all__ = ["register", "table", "unregister"]

_duckdb: Final = load_package("duckdb", engine="duckdb", package="duckdb", oldest="2.0")
watch_interrupts(_duckdb)

_names: Final = RegisteredNames[Registered]("duckdb", "DuckDB", "connection", ignores_case=True)


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options("udfvm.duckdb.register", elsewhere=OF_FUNCTIONS)
def register(
    connection: Any, /, *functions: Function, name: str | None = None, replace: bool = True
) -> None:
    """Makes functions SQL functions of a DuckDB connection.

    Images are built, or taken from the cache, here and not in the first query.

    DuckDB casts arguments to the declared types where it does so for its own functions. A NULL for
    a parameter that does not allow None makes the result NULL without a call. A function has a
    value for each row, because it may be random. With ``deterministic=True`` DuckDB may call it
    once for constants, and once for what a query says twice.

    A scalar function is one for the cursors of the connection, too. An aggregate ``x`` becomes
    ``list_x``, a function of a list of rows, and a table function ``t`` becomes ``list_t``, which
    returns a list of rows. Macros make of these ``x(...)`` for groups and windows, and ``FROM
    t(...)``. Macros are of this connection alone, and give parameters their defaults.

    Args:
        connection: a connection, as ``duckdb.connect()`` makes it.
        functions: functions of any form; vectorised ones that are declared ``elementwise=True``.
        name: the name in SQL of a single function. Default: each function's own.
        replace: True replaces functions of these names that ``register`` gave to the connection.
            False refuses such names. Names of other functions are refused in any case.

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
    named = _names.named(functions, name, replace=replace)
    made = [made_for(*each) for each in named]
    _names.check(connection, named, _foreign(connection, made), replace=replace)
    for each in made:
        each.function.prepare()
    for each in made:
        _remove(connection, each.name)
        each.create(connection)
        _names.add(connection, each.name, each.function, each, partial(_again, each.name))


def _again(name: str, connection: Any, function: Function) -> None:
    with contextlib.suppress(_duckdb.ConnectionException):  # it is closed
        register(connection, function, name=name)


@hides_frames
def table(connection: Any, function: TableFunction, /, *arguments: Any, **keywords: Any) -> Any:
    """Returns a relation of DuckDB with the rows of a table function, which are fetched as DuckDB
    reads them: a query that needs few rows computes few. Each scan is a call.

    SQL finds a relation by the name of the variable that has it. Before a scan DuckDB knows the
    names and types of the columns, and calls nothing.

    Args:
        connection: the connection.
        function: the table function.
        arguments, keywords: one value for each parameter.

    Raises:
        SignatureError: the function is no table function, or not a connection of duckdb.
        TypeMappingError: the function has a type that DuckDB does not have, or an argument is
            missing.

    >>> import duckdb
    >>> @udfvm.table_function(columns={"i": int, "square": int})
    ... def squares(count: int):
    ...     for i in range(count):
    ...         yield i, i * i
    >>> con = duckdb.connect()
    >>> many = udfvm.duckdb.table(con, squares, 1_000_000)
    >>> con.sql("SELECT square FROM many WHERE i > 1 LIMIT 2").fetchall()
    [(4,), (9,)]
    """
    _check_connection("udfvm.duckdb.table", connection)
    check_functions("udfvm.duckdb.table", [function], None)
    if function.form != "table":
        raise SignatureError(f"udfvm.duckdb.table takes a table function; got {function!r}")
    database = database_of(connection, mark=True)
    return connection.from_arrow(TableScan(database, function, arguments, keywords))


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
    for name in _names.to_remove(connection, functions_or_names):
        _remove(connection, name)


def _check_connection(caller: str, connection: object) -> None:
    if not isinstance(connection, _duckdb.DuckDBPyConnection):
        raise SignatureError(
            f"{caller} takes a connection of duckdb first, as duckdb.connect() makes it, or"
            f" duckdb.default_connection(), which duckdb.sql() uses; got {shown(connection)}"
        )


def _foreign(connection: Any, made: Sequence[Registered]) -> Callable[[str], str | None]:
    """Returns what finds names of functions of others among those that a function is to take."""
    own = set().union(*(each.names for each in _names.of(connection).values()))
    query = "SELECT DISTINCT lower(function_name) FROM duckdb_functions()"
    taken = {name for (name,) in connection.cursor().execute(query).fetchall()}
    wanted = {each.name: each.names for each in made}
    return lambda name: next(iter(wanted[name] & (taken - own)), None)


def _remove(connection: Any, name: str) -> None:
    """Removes a function, if the connection was given it."""
    found = _names.pop(connection, name)
    if found is None:
        return
    if found.macro:
        kind = "MACRO TABLE" if found.function.form == "table" else "MACRO"
        connection.execute(f"DROP {kind} IF EXISTS temp.main.{quoted(found.name)}").fetchall()
    with contextlib.suppress(_duckdb.InvalidInputException):  # removed by other means
        connection.remove_function(found.function_name)
