"""Interrupted queries of DuckDB end the calls of their functions.

``connection.interrupt()`` sets a flag, at which DuckDB looks between two calls of a function, and
tells nobody. So the method tells this module as well, and so does ``duckdb.interrupt()``. DuckDB
does not say either which query a call belongs to. All calls of functions of the database end,
therefore, and are made again. One that is of another query then gives its result, if it is short;
those that last are ended for good.
"""

from __future__ import annotations

import functools
import secrets
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from udfvm.errors import CallError
from udfvm.functions.engine_calls import all_together, call_of_engine
from udfvm.functions.engine_numbers import NumberCalls, has_number_calls
from udfvm.vmm import Cancellation

if TYPE_CHECKING:
    from udfvm.functions.function import Function

_Result = TypeVar("_Result")

_MARK: Final = "udfvm_database_"  # begins the name of a function that marks a database
_AGAIN: Final = 0.25  # seconds of a call that is made again


class _Call(Cancellation):
    """A running call of a function of a database."""

    __slots__ = ("database", "is_interrupted")

    def __init__(self, database: str) -> None:
        super().__init__()
        self.database = database
        self.is_interrupted = False

    def interrupt(self) -> None:
        """Ends the call, because a query of the database was interrupted."""
        self.is_interrupted = True
        self.cancel()


_running: Final[set[_Call]] = set()


class QueryInterruptedError(Exception):
    """A query of the database was interrupted while a call took the short way."""


class ShortCalls(NumberCalls):
    """The calls of a function of a database by the short way."""

    def __init__(self, function: Function, database: str) -> None:
        self._database: Final = database
        super().__init__(function, "duckdb", raises=False, has_frames=False)

    def _new_ending(self) -> tuple[Cancellation, int]:
        made = _Call(self._database)
        return made, made.address

    def interrupt(self, database: str) -> None:
        """Ends the calls that run, because a query of a database was interrupted."""
        if database == self._database:
            cast("_Call", self.renew()).interrupt()

    def ended_by(self, cancellation: Cancellation) -> None:
        """Raises QueryInterruptedError for a call that an interrupted query ended."""
        if cast("_Call", cancellation).is_interrupted:
            raise QueryInterruptedError


def short_calls(function: Function, database: str) -> ShortCalls | None:
    """Returns the short way to a function; None if it has none."""
    return ShortCalls(function, database) if has_number_calls(function) else None


def by_short_way(calls: ShortCalls | None, columns: tuple[Any, ...]) -> tuple[Any, bool]:
    """Returns the results of a call by the short way; NotImplemented where the caller is to make
    the call. And whether a call was made that an interrupted query ended.
    """
    if calls is None:
        return NotImplemented, False
    try:
        return calls.call(columns), False
    except QueryInterruptedError:
        return NotImplemented, True


#: Names of databases that were found, by connection: DuckDB takes milliseconds to say it.
_known: Final[weakref.WeakKeyDictionary[Any, str]] = weakref.WeakKeyDictionary()


def database_of(connection: Any, *, mark: bool) -> str:
    """Returns a name of the database of a connection, which all of its cursors have; empty if it
    has none. ``mark`` gives it one.
    """
    name = _known.get(connection, "") or _database_of(connection, mark)
    if name:
        _known[connection] = name
    return name


def _database_of(connection: Any, mark: bool) -> str:
    names = "SELECT function_name FROM duckdb_functions()"
    query = f"{names} WHERE starts_with(function_name, '{_MARK}')"
    found = connection.cursor().execute(query).fetchall()
    if found:
        return str(found[0][0])
    if not mark:
        return ""
    name = _MARK + secrets.token_hex(8)
    connection.create_function(name, lambda column: column, ["TINYINT"], "TINYINT", type="arrow")
    return name


def interruptible(
    database: str,
    udf: str,
    call: Callable[[], _Result],
    *,
    may_repeat: bool,
    was_ended: bool = False,
) -> _Result:
    """Makes a call of a function, which an interrupted query of its database ends. ``was_ended``:
    it was made, and ended so.

    Raises KeyboardInterrupt after Ctrl-C, and CallError where a query was interrupted and the call
    lasts.
    """
    made = _Call(database)
    _running.add(made)
    try:
        if not was_ended:
            return _made(made, call)
    except KeyboardInterrupt:
        if not made.is_interrupted:
            raise
    finally:
        _running.discard(made)
    if may_repeat:
        again = _Call(database)
        timer = threading.Timer(_AGAIN, again.interrupt)
        timer.start()
        try:
            return _made(again, call)
        except KeyboardInterrupt:
            if not again.is_interrupted:
                raise
        finally:
            timer.cancel()
    raise CallError(
        f"UDF {udf!r}: a query of the database was interrupted, which ends long calls of all of its"
        " queries: run this query again"
    )


def _made(call: _Call, make: Callable[[], _Result]) -> _Result:
    with call_of_engine("duckdb", raises=False, has_frames=False, cancellation=call):
        return make()


class OfAnyDatabase(ABC):
    """A function for DuckDB that learns its database where it is given to a connection."""

    @abstractmethod
    def of(self, database: str) -> Callable[..., Any]:
        """Returns the function for a database, with the name that ``database_of`` returns."""


def watch_interrupts(duckdb: Any) -> None:
    """Makes ``interrupt`` of the module ``duckdb`` and of its connections end calls of functions.
    Functions that are given to connections learn their database.
    """
    connections = duckdb.DuckDBPyConnection
    if getattr(connections.interrupt, "is_watched", False):
        return
    interrupt, interrupt_of_module = connections.interrupt, duckdb.interrupt
    create_function = connections.create_function

    @functools.wraps(interrupt)
    def also_calls(self: Any) -> None:
        interrupt(self)
        _end_calls(self)

    @functools.wraps(interrupt_of_module)
    def also_calls_of_default(*, connection: Any = None) -> None:
        interrupt_of_module(connection=connection)
        _end_calls(duckdb.default_connection() if connection is None else connection)

    @functools.wraps(create_function)
    def with_database(self: Any, name: str, function: Any, *options: Any, **named: Any) -> Any:
        if isinstance(function, OfAnyDatabase):
            function = function.of(database_of(self, mark=True))
        return create_function(self, name, function, *options, **named)

    vars(also_calls)["is_watched"] = True
    connections.interrupt, duckdb.interrupt = also_calls, also_calls_of_default
    connections.create_function = with_database


def _end_calls(connection: Any) -> None:
    """Ends the running calls of functions of a connection's database."""
    short = [each for each in all_together() if isinstance(each, ShortCalls)]
    if _running or short:
        database = database_of(connection, mark=False)
        for call in _running.copy():
            if call.database == database:
                call.interrupt()
        for calls in short:
            calls.interrupt(database)
