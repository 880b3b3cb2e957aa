"""How connections load the extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from udfvm.errors import SignatureError, SQLConnectionError
from udfvm.sqlite import _extension

if TYPE_CHECKING:
    import sqlite3

# SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION switches extension loading for C alone. The SQL function
# load_extension() stays as it was.
_ENABLE_LOAD_EXTENSION: Final = 1005


def is_apsw(connection: object) -> bool:
    return any(cls.__module__ == "apsw" for cls in type(connection).__mro__)


def is_plain(connection: object) -> TypeGuard[sqlite3.Connection]:
    """Returns whether a connection is of the standard library's ``sqlite3``, and loads no
    extensions.
    """
    return not hasattr(connection, "load_extension") and any(
        cls.__module__ == "sqlite3" for cls in type(connection).__mro__
    )


def is_closed(connection: Any) -> bool:
    """Returns whether a connection is closed. False for one that another thread uses."""
    if is_apsw(connection):
        import apsw

        try:
            connection.total_changes()
        except apsw.ConnectionClosedError:
            return True
        return False
    import sqlite3

    try:
        return connection.total_changes < 0
    except sqlite3.ProgrammingError as error:
        return "closed" in str(error)


def loader(caller: str, connection: Any) -> Callable[[], None]:
    """Returns a function that loads the extension into the connection.

    It leaves extension loading as it was.
    """
    try:
        is_async = getattr(connection, "is_async", False)
    except Exception as error:
        raise SQLConnectionError(f"udfvm.sqlite.{caller}: {error}") from error  # it is closed
    if is_async:
        raise SQLConnectionError(
            f"udfvm.sqlite.{caller}: the connection is asynchronous: call {caller} from a"
            " connection hook, which runs in its thread"
        )
    if not hasattr(connection, "load_extension"):
        raise SignatureError(
            f"udfvm.sqlite.{caller} takes an apsw.Connection or a sqlite3.Connection; got"
            f" {type(connection).__name__}"
        )
    path = str(_extension.PATH)

    def load_into_apsw() -> None:
        before = connection.config(
            _ENABLE_LOAD_EXTENSION, -1
        )  # a negative value only returns the setting
        connection.config(_ENABLE_LOAD_EXTENSION, 1)
        try:
            connection.load_extension(path, _extension.ENTRY_POINT)
        finally:
            connection.config(_ENABLE_LOAD_EXTENSION, before)

    def load_into_sqlite3() -> None:
        connection.enable_load_extension(True)
        try:
            connection.load_extension(path)
        finally:
            connection.enable_load_extension(False)

    return load_into_apsw if hasattr(connection, "config") else load_into_sqlite3
