"""Registration on connections of the standard library's ``sqlite3`` that load no extensions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from udfvm.errors import Error, OptionError, SignatureError, SQLConnectionError, UnknownUDFError
from udfvm.functions.integration import encoded_defaults
from udfvm.sqlite._bridge import (
    Bridge,
    Failure,
    bridge_that_answered,
    failure_of_thread,
    forget_failure,
)
from udfvm.sqlite._extension import Refusal
from udfvm.sqlite._functions import offered_function
from udfvm.sqlite._loading import loader
from udfvm.sqlite._offer import offer
from udfvm.sqlite._refusals import refused

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.sqlite._times import Times

_ADVICE: Final = (
    "this Python's sqlite3 was built without support for loadable extensions: use apsw, or a"
    " Python that was configured with --enable-loadable-sqlite-extensions"
)
_TAKEN: Final = "SELECT 1 FROM pragma_function_list WHERE name = ? COLLATE NOCASE"
#: How the module's own texts for failures of functions begin.
_TEXTS: Final = "user-defined "


def register(
    target: sqlite3.Connection,
    named: Sequence[tuple[str, Function]],
    *,
    replace: bool,
    isolation: str | None,
    in_schema: bool,
    times: Times | None,
    policy: object,
) -> None:
    """Does what ``udfvm.sqlite.register`` does, as far as ``sqlite3`` can.

    Raises OptionError and SignatureError for what needs the extension, and else what ``register``
    raises.
    """
    if policy is not None:
        raise OptionError(f"udfvm.sqlite.register: policy= needs the extension, and {_ADVICE}")
    if isolation == "statement":
        raise OptionError(
            f"udfvm.sqlite.register: isolation='statement' needs the extension, and {_ADVICE}"
        )
    for name, function in named:
        if function.form in ("table", "vectorized"):
            what = "a table function" if function.form == "table" else "vectorised"
            raise SignatureError(
                f"udfvm.sqlite.register: {name} is {what}, which needs the extension, and {_ADVICE}"
            )
    offered = [  # this refuses what SQL cannot have, and builds the images
        offered_function(
            function,
            name=name,
            isolation="statement" if function.form == "aggregate" else "row",
            in_schema=False,
            times=times,
            log_sink=0,
        )
        for name, function in named
    ]
    bridge = _bridge_of(target, "register") or _new_bridge(target)
    for name, _ in named:
        if any(each != name and each.lower() == name.lower() for each in bridge.registered):
            raise SignatureError(
                f"udfvm.sqlite.register: {name}: another function's name differs from it by case"
                " alone, which SQL ignores: pass another name="
            )
        if not replace and _asked(target, "register", _TAKEN, (name,)):
            raise refused(Refusal.NAME_TAKEN, name, "register", Exception())
    if named and not in_schema:
        _distrust_schema(target)
    _define(target, bridge, named)
    _offer(bridge, functions=offered)


def _offer(bridge: Bridge, **offered: Any) -> None:
    offer(loader("register", bridge.connection), to_apsw=True, **offered)


def _define(
    target: sqlite3.Connection, bridge: Bridge, named: Sequence[tuple[str, Function]]
) -> None:
    """Gives the connection the functions. Those that it has already come first: SQLite refuses to
    replace them, and none has changed, if statements run.
    """
    for name, function in sorted(named, key=lambda each: each[0] not in bridge.registered):
        counts = _counts(target, function)
        before = bridge.registered.get(name, range(0))
        try:
            for count in before:
                if count not in counts:
                    target.create_function(name, count, None)
            for count in counts:
                _define_one(target, bridge, name, function, count)
        except sqlite3.Error as error:
            raise _busy("register", name, "redefined") from error
        bridge.registered[name] = counts


def _define_one(
    target: sqlite3.Connection, bridge: Bridge, name: str, function: Function, count: int
) -> None:
    if function.form != "aggregate":
        deterministic = function.limits.deterministic
        called = bridge.scalar(name, count)
        target.create_function(name, count, called, deterministic=deterministic)
        return
    group: Any = bridge.aggregate(name, count)
    try:
        target.create_window_function(name, count, group)
    except sqlite3.NotSupportedError:  # an SQLite before 3.25
        target.create_aggregate(name, count, group)


def unregister(target: sqlite3.Connection, names: Sequence[str]) -> None:
    """Does what ``udfvm.sqlite.unregister`` does."""
    bridge = _bridge_of(target, "unregister")
    for name in names:
        if bridge is None or name not in bridge.registered:
            raise refused(Refusal.NAME_UNKNOWN, name, "unregister", UnknownUDFError())
    for name in names:
        assert bridge is not None
        try:
            for count in bridge.registered[name]:
                target.create_function(name, count, None)
        except sqlite3.Error as error:
            raise _busy("unregister", name, "removed") from error
        del bridge.registered[name]
        _offer(bridge, removed=[name])


def _counts(target: sqlite3.Connection, function: Function) -> range:
    """Returns the numbers of arguments that a function takes: each is one of SQL's functions, as
    with the extension.
    """
    defaults = encoded_defaults(function)
    required = sum(default is None for default in defaults)
    if not function.is_variadic:
        return range(required, len(defaults) + 1)
    limit = target.getlimit(sqlite3.SQLITE_LIMIT_FUNCTION_ARG)
    return range(max(required - 1, 0), limit + 1)


def _distrust_schema(target: sqlite3.Connection) -> None:
    """Keeps the schema from using functions: the module has no SQLITE_DIRECTONLY.

    Raises SQLConnectionError where SQLite does not know this setting.
    """
    _asked(target, "register", "PRAGMA trusted_schema = OFF")
    if _asked(target, "register", "PRAGMA trusted_schema") != (0,):
        raise SQLConnectionError(
            f"udfvm.sqlite.register: SQLite {sqlite3.sqlite_version} is older than 3.31, so the"
            " schema of the database could use the functions: pass in_schema=True if you trust it"
        )


def _busy(caller: str, name: str, what: str) -> SQLConnectionError:
    return SQLConnectionError(
        f"udfvm.sqlite.{caller}: {name}: cannot be {what} while statements of this connection run"
    )


# ---- Which bridge a connection has ----


def _new_bridge(target: sqlite3.Connection) -> Bridge:
    bridge = Bridge(target)
    _offer(bridge)
    target.create_function("vm_udf", -1, bridge.scalar("vm_udf", -1))
    target.create_function("vm_last_error", 0, bridge.last_text)
    return bridge


def _bridge_of(target: sqlite3.Connection, caller: str) -> Bridge | None:
    """Returns the bridge of a connection; None if it has none. Raises SQLConnectionError if the
    connection is closed, or another thread's.
    """
    bridge_that_answered()
    try:
        _asked(target, caller, "SELECT vm_last_error()")
    except sqlite3.OperationalError as error:
        if "no such function" not in str(error):
            raise SQLConnectionError(f"udfvm.sqlite.{caller}: {error}") from error
    return bridge_that_answered()


def _asked(
    target: sqlite3.Connection, caller: str, sql: str, bindings: tuple[Any, ...] = ()
) -> Any:
    try:
        cursor = sqlite3.Cursor(target)
        cursor.row_factory = None
        return cursor.execute(sql, bindings).fetchone()
    except sqlite3.ProgrammingError as error:
        raise SQLConnectionError(f"udfvm.sqlite.{caller}: {error}") from error


# ---- Errors ----


def last_error(target: sqlite3.Connection) -> BaseException | None:
    """Returns what the last call that failed raised; None if there was none."""
    bridge = _bridge_of(target, "last_error")
    forget_failure()
    failure = bridge.failure if bridge else None
    return failure.exception if failure else None


@contextmanager
def real_errors(target: sqlite3.Connection) -> Iterator[None]:
    """Gives errors of the connection the text and cause that they have with the extension.

    What is not of a function, such as Ctrl-C and what a signal's handler raised, is raised itself.
    """
    bridge = _bridge_of(target, "real_errors")
    before = bridge.failures if bridge else 0
    try:
        yield
    except Exception as error:
        failure = bridge.failure if bridge and bridge.failures > before else None
        forget_failure()
        if failure is None or not _explain(error, failure):
            raise
        if failure.exception is None or isinstance(failure.exception, Error):
            raise
        raise failure.exception from error


def explain_last(error: BaseException) -> None:
    """Gives an error of ``sqlite3`` that the last failure in this thread caused its text and cause,
    and forgets that failure.
    """
    failure = failure_of_thread()
    if failure is not None and _explain(error, failure):
        forget_failure()


def untold_failure() -> BaseException | None:
    """Returns what the last call in this thread failed by, if no error that anybody saw has its
    text, and forgets it.
    """
    failure = failure_of_thread()
    forget_failure()
    return failure.exception if failure is not None else None


def _explain(error: BaseException, failure: Failure) -> bool:
    """Changes the text of an error of ``sqlite3``, and of those that libraries made of it. Returns
    whether there is one.
    """
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in chain:
        chain.append(each)
        each = each.__cause__
    own = next((each for each in chain if isinstance(each, sqlite3.Error)), None)
    if own is None or not str(own).startswith(_TEXTS):
        return False
    generic = str(own)
    for each in chain:
        if each.args and isinstance(each.args[0], str):
            each.args = (each.args[0].replace(generic, failure.text), *each.args[1:])
    own.__cause__ = failure.exception
    return True
