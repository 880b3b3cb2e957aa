"""Functions for connections that load no extensions: a hidden connection of apsw has the extension.

The standard library's ``sqlite3`` calls Python for each row, and Python asks the hidden connection
for the value. So values, nulls, times, limits and texts of errors are those of the extension.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import apsw

from udfvm.errors import CallError, Error, TypeMappingError

#: Virtual instructions between two looks of the hidden connection at the program's. The extension
#: runs some thousand every 50 ms while a function runs.
_LOOK: Final = 1000
#: Gives the program's connection occasion to call its progress handlers and see interrupts.
_PULSE: Final = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)"
    " SELECT count(*) FROM n"
)
_INTERRUPTED: Final = "interrupted"

_found = threading.local()
_group_numbers: Final = itertools.count()


class Failure:
    """The failure of a call.

    Attributes:
        text: what SQL has of it.
        exception: the exception of the call itself; None if it was interrupted.
    """

    def __init__(self, text: str, exception: BaseException | None) -> None:
        self.text = text
        self.exception = exception


class Bridge:
    """What a connection of ``sqlite3`` has instead of the extension.

    The connection owns it, by the functions that it calls. So it refers to the connection by its
    address alone: ``sqlite3.Connection`` has no weak references, and the garbage collector does not
    see what SQLite holds. The address is used only while the connection calls a function of it, and
    lives therefore.

    Attributes:
        connection: the hidden connection.
        registered: the numbers of arguments that each function takes, by its name.
        failures: how many calls have failed.
        failure: the last one; None if there was none.
    """

    def __init__(self, target: Any) -> None:
        self.connection: Any = apsw.Connection(":memory:")
        self.registered: dict[str, range] = {}
        self.failures = 0
        self.failure: Failure | None = None
        self._address = id(target)
        self._watching = 0
        self._tables: set[int] = set()
        self._execute: Callable[..., Any] = self.connection.execute
        self.connection.set_progress_handler(self._interrupted, _LOOK)

    # ---- What the connection calls ----

    def scalar(self, name: str, count: int) -> Callable[..., Any]:
        """Returns what ``create_function`` takes for a function with so many arguments; for
        ``vm_udf`` with -1.
        """
        value = self._value
        if count < 0:
            return lambda *row: value(_call(name, len(row)), row)
        sql = _call(name, count)
        return lambda *row: value(sql, row)

    def aggregate(self, name: str, count: int) -> type:
        """Returns what ``create_window_function`` takes for an aggregate."""
        return type("Group", (_Group,), {"bridge": self, "sql": _call(name, count), "count": count})

    def last_text(self) -> str | None:
        """``vm_last_error()``. It also tells this thread which bridge the connection has."""
        _found.bridge = self
        return self.failure.text if self.failure else None

    # ---- Calls ----

    def _value(self, sql: str, row: tuple[Any, ...]) -> Any:
        self._watching += 1
        try:
            return self._execute(sql, row).fetchone()[0]
        except BaseException as error:
            self._keep(error, in_group=False)
            raise
        finally:
            self._watching -= 1

    def value_of_group(self, sql: str, count: int, rows: deque[tuple[Any, ...]]) -> Any:
        """Returns the aggregate of rows."""
        group, table = next(_group_numbers), f"rows{count}"
        self._watching += 1
        try:
            self._make_table(count)
            places = ", ".join("?" * (count + 1))
            with self.connection:
                self.connection.executemany(
                    f"INSERT INTO {table} VALUES ({places})", ((group, *row) for row in rows)
                )
            named = sql.replace("?", "{}").format(*(f"c{index}" for index in range(count)))
            found = self._execute(f"{named} FROM {table} WHERE number = ?", (group,))
            return found.fetchone()[0]
        except BaseException as error:
            self._keep(error, in_group=True)
            raise
        finally:
            self._watching -= 1
            with contextlib.suppress(apsw.Error):
                self._execute(f"DELETE FROM {table} WHERE number = ?", (group,))

    def _make_table(self, count: int) -> None:
        if count not in self._tables:
            columns = "".join(f", c{index}" for index in range(count))
            self._execute(f"CREATE TABLE rows{count}(number{columns})")
            self._tables.add(count)

    def target(self) -> Any:
        """Returns the connection of the program, which must be calling a function of it."""
        return ctypes.cast(self._address, ctypes.py_object).value

    def _interrupted(self) -> bool:
        """Looks whether the program's connection is interrupted: the hidden one shall be, too."""
        if not self._watching:
            return False
        cursor = sqlite3.Cursor(self.target())
        cursor.row_factory = None
        try:
            cursor.execute(_PULSE).fetchall()
        except sqlite3.Error as error:
            return str(error) == _INTERRUPTED  # an authorizer may refuse the statement
        return False

    # ---- Failures ----

    def _keep(self, error: BaseException, *, in_group: bool) -> None:
        """Keeps the failure of a call: the module forgets exceptions of functions that it calls."""
        error.__traceback__ = None  # or the frames, with the row, would stay
        if isinstance(error, apsw.InterruptError):
            self.failure = Failure(_INTERRUPTED, None)
        elif isinstance(error, apsw.Error):
            cause = error.__cause__
            if isinstance(cause, (CallError, TypeMappingError)) and not in_group:
                cause.locate(None)  # each row is a statement of its own here
            self.failure = Failure(str(cause if isinstance(cause, Error) else error), cause)
        else:
            self.failure = Failure(str(error) or type(error).__name__, error)
        self.failures += 1
        _found.failure = self.failure


class _Group:
    """A group of rows, or a window, of an aggregate."""

    bridge: Bridge
    sql: str
    count: int

    def __init__(self) -> None:
        self._target = self.bridge.target()  # it must live until the group ends
        self._rows: deque[tuple[Any, ...]] = deque()
        self._kept: list[Any] = []
        self._failed = False

    def step(self, *row: Any) -> None:
        self._rows.append(row)
        self._kept.clear()

    def inverse(self, *_row: Any) -> None:
        self._rows.popleft()
        self._kept.clear()

    def value(self) -> Any:
        if self._failed:  # SQLite ends all groups of a statement that failed
            return None
        if not self._kept:  # the last value serves each row of a whole partition
            self._failed = True
            self._kept.append(self.bridge.value_of_group(self.sql, self.count, self._rows))
            self._failed = False
        return self._kept[0]

    finalize = value


def _call(name: str, count: int) -> str:
    if name == "vm_udf":
        return f"SELECT vm_udf({', '.join('?' * count)})"
    return f'SELECT "{name}"({", ".join("?" * count)})'


def failure_of_thread() -> Failure | None:
    """Returns the last failure in this thread that ``forget_failure`` has not forgotten."""
    found: Failure | None = getattr(_found, "failure", None)
    return found


def forget_failure() -> None:
    """Forgets the last failure in this thread: it was told, or what it failed for has ended."""
    _found.failure = None


def bridge_that_answered() -> Bridge | None:
    """Returns the bridge whose ``vm_last_error()`` this thread called last, and forgets it."""
    found: Bridge | None = getattr(_found, "bridge", None)
    _found.bridge = None
    return found
