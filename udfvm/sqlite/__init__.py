"""Functions in micro-VMs as SQL functions of an SQLite connection.

``register(con, score)`` gives the connection two functions that run ``score`` in a micro-VM:
``score(...)`` itself, and ``vm_udf('score', ...)``, which finds any registered function by its
name. ``unregister(con, score)`` removes them. Rows never enter Python on the host: a loadable
extension in C, beside this file, moves them between SQLite and the micro-VM.

``vm_map`` runs functions over whole queries in batches. ``vm_table`` and ``vm_agg`` run table
functions and aggregates, which have SQL functions of their own names too. See
docs/sqlite_batches.md.

**Calls.** With isolation ``"statement"``, the default, one execution of an SQL statement is one
call. The first row takes a micro-VM at the function's sealed state. All rows that the statement
computes with that function run in that micro-VM, one after the other. When the execution ends (last
row, error, reset, closed cursor), the micro-VM is restored, and the next execution begins at the
sealed state again. Different functions in one statement have a micro-VM each. A firing of a trigger
is an execution of its own. If a name in a Python function is bound to another object, the next
statement uses the new one. With isolation ``"row"`` each row is a call that starts from the sealed
state. A function's ``timeout`` and ``max_output`` apply to each row. A statement that is not
finished keeps its micro-VMs.

**Types.** ``int`` takes INTEGER. ``float`` takes REAL or INTEGER. ``bool`` takes INTEGER 0 or 1.
``str`` takes TEXT (valid UTF-8). ``bytes`` takes BLOB. No value is converted with loss: another
type, or an INTEGER that REAL cannot represent exactly, is an SQL error that names the argument.
NULL for a parameter that does not allow None makes the result NULL without a call. Results are
converted the same way. NaN becomes NULL, as always in SQLite. A ``dict`` or ``list`` is returned as
JSON, with SQLite's subtype for it.

**Safety.** The functions are ``SQLITE_DIRECTONLY``: SQL text can use them. The schema of a database
(views, triggers, indexes, generated columns) may come from a stranger and cannot use them, unless
``in_schema=True``. They are ``SQLITE_DETERMINISTIC`` only if declared deterministic. ``vm_udf``
never is deterministic, and can never be used in a schema.

**Errors** are ``apsw.SQLError``. The text is that of the error in Python, which is the
``__cause__``: the guest's exception with its traceback, or the limit that was reached, and the row,
counted from 0 in the order in which the statement reached them. The connection stays usable, and a
transaction around the statement intact. Ctrl-C during a call raises KeyboardInterrupt.
``Connection.interrupt`` ends a statement between two calls.

**Output** of functions goes to the program's ``sys.stdout`` and ``sys.stderr`` with every row, or
where their ``log=`` says. For functions that are stored in the database the policy's ``log=``
decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import check_choice, check_switch, options_of, shown
from udfvm.errors import OptionError, SignatureError
from udfvm.functions.function_names import checked_name
from udfvm.functions.integration import check_functions, names_of
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.functions.registrations import forget_names, remember
from udfvm.keywords import checks_options
from udfvm.sqlite import _extension
from udfvm.sqlite._functions import offered_function
from udfvm.sqlite._loading import is_apsw, is_closed, is_plain, loader
from udfvm.sqlite._offer import offer
from udfvm.sqlite._times import CHOICES
from udfvm.sqlite.policy import Policy, offered_policy, runtimes_of

if TYPE_CHECKING:
    import sqlite3

    import apsw

    from udfvm.functions.function import Function
    from udfvm.load.declaration import Isolation
    from udfvm.sqlite._times import Times

__all__ = ["EXTENSION", "Policy", "last_error", "real_errors", "register", "unregister"]

#: Path of the loadable extension, for the sqlite3 shell's ``.load`` and programs without Python.
EXTENSION: Final = _extension.PATH


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options("udfvm.sqlite.register", elsewhere=OF_FUNCTIONS)
def register(
    target: apsw.Connection | sqlite3.Connection,
    /,
    *functions: Function,
    name: str | None = None,
    replace: bool = True,
    isolation: Isolation | None = None,
    in_schema: bool = False,
    times: Times | None = None,
    policy: Policy | None = None,
) -> None:
    """Makes functions SQL functions of a connection: by their own names, and for ``vm_udf(name,
    ...)``.

    It may be called again, to add functions or to replace those of the same name. Images are built,
    or taken from the cache, here and not in the first statement. The connection keeps what it needs
    until it is closed.

    Args:
        target: an ``apsw.Connection``, or a ``sqlite3.Connection`` of the standard library. For
            the latter, extension loading is switched off afterwards. If Python was built without
            support for extensions, docs/sqlite.md says what differs.
        functions: the functions.
        name: the name in SQL of a single function. Default: each function's own.
        replace: False refuses a name that SQL has a function of already: a registered one, or one
            of SQLite's own.
        isolation: what one call is: ``"statement"``, an execution of a statement, whose rows share
            a micro-VM, or ``"row"``, which table functions and aggregates do not have. Default:
            each function's own.
        in_schema: True lets views, triggers, indexes and generated columns use the functions. It is
            for databases whose schema you trust.
        times: how SQL has dates and times: ``"text"``, ISO 8601 text such as SQLite's date
            functions take and return, or ``"integer"``, counts of the type's unit: days since 1970,
            or microseconds since 1970 or midnight. Default: dates and timestamps are INTEGER, times
            of day are TEXT.
        policy: what SQL may do with functions that are stored in the database (``vm_create``), and
            how long statements may take. Default: the policy that the connection has; at first it
            runs no stored functions and creates none. See docs/sqlite.md.

    Raises:
        TypeMappingError: a function has a type that SQL does not have.
        SignatureError: a name is taken or not valid, or SQL cannot have such a function.
        OptionError: an option has a value that it cannot have, or a function's pool does not serve
            the tenant of the connection's policy.
        SQLConnectionError: the connection is closed, or has statements that run, so that a function
            of theirs cannot be replaced.
        BuildError: an image cannot be built.

    >>> import apsw
    >>> @udfvm.udf
    ... def initials(name: str) -> str:
    ...     return "".join(word[0] for word in name.split())
    >>> con = apsw.Connection(":memory:")
    >>> udfvm.sqlite.register(con, initials)
    >>> con.execute("SELECT vm_udf('initials', 'Ada Lovelace'), initials('Alan Turing')").fetchall()
    [('AL', 'AT')]
    """
    with options_of("udfvm.sqlite.register"):
        check_switch("in_schema", in_schema)
        check_switch("replace", replace)
        if isolation is not None:
            check_choice("isolation", isolation, ("statement", "row"))
        if times is not None:
            check_choice("times", times, CHOICES)
    if policy is not None and not isinstance(policy, Policy):
        raise OptionError(
            f"udfvm.sqlite.register: policy= takes a udfvm.sqlite.Policy; got {shown(policy)}"
        )
    named = _named(functions, name)
    for name_in_sql, function in named:
        if isolation == "row" and function.form in ("table", "aggregate"):
            raise OptionError(
                f"udfvm.sqlite.register: isolation='row' is for scalar functions, and {name_in_sql}"
                f" is {'an aggregate' if function.form == 'aggregate' else 'a table function'}:"
                " register it without isolation="
            )
        if name_in_sql.lower().startswith("vm_"):
            raise SignatureError(
                f"udfvm.sqlite.register: the name {name_in_sql!r} begins with vm_, as udfvm's own"
                " do: pass another name="
            )
    if is_plain(target):
        from udfvm.sqlite import _plain

        _plain.register(
            target,
            named,
            replace=replace,
            isolation=isolation,
            in_schema=in_schema,
            times=times,
            policy=policy,
        )
        _remember(target, named, isolation=isolation, in_schema=in_schema, times=times)
        return
    offered = offered_policy(policy) if policy else None
    offer(
        loader("register", target),
        functions=[
            offered_function(
                function,
                name=name_in_sql,
                isolation=isolation or function.isolation,
                in_schema=in_schema,
                times=times,
                log_sink=offered.log_sink if offered else 0,
            )
            for name_in_sql, function in named
        ],
        replace=replace,
        policy=offered,
        runtimes=runtimes_of(policy) if policy else [],
        to_apsw=is_apsw(target),
    )
    _remember(target, named, isolation=isolation, in_schema=in_schema, times=times)


def _remember(target: object, named: Sequence[tuple[str, Function]], **options: Any) -> None:
    for name, function in named:
        remember(target, name.lower(), function, partial(_again, name, options))


def _again(name: str, options: dict[str, Any], target: Any, function: Function) -> None:
    if not is_closed(target):
        register(target, function, name=name, **options)


@checks_options("udfvm.sqlite.unregister")
def unregister(
    target: apsw.Connection | sqlite3.Connection, /, *functions_or_names: Function | str
) -> None:
    """Removes functions from a connection that ``register`` gave them to.

    A function cannot be removed while statements of the connection run.

    Args:
        target: the connection.
        functions_or_names: names in SQL, or functions, which stand for their own names.

    Raises:
        UnknownUDFError: the connection does not have one of them. It keeps all of them then.
        SQLConnectionError: statements of the connection run.

    >>> import apsw
    >>> @udfvm.udf
    ... def doubled(x: int) -> int:
    ...     return 2 * x
    >>> con = apsw.Connection(":memory:")
    >>> udfvm.sqlite.register(con, doubled, name="twice")
    >>> udfvm.sqlite.unregister(con, "twice")
    >>> con.execute("SELECT count(*) FROM vm_functions").fetchall()
    [(0,)]
    """
    names = names_of("udfvm.sqlite.unregister", functions_or_names)
    if is_plain(target):
        from udfvm.sqlite import _plain

        _plain.unregister(target, names)
    else:
        load = loader("unregister", target)
        if names:
            offer(load, removed=names, to_apsw=is_apsw(target))
    forget_names(target, [name.lower() for name in names])


def last_error(target: apsw.Connection | sqlite3.Connection, /) -> BaseException | None:
    """Returns the exception of the last call that failed on a ``sqlite3.Connection`` that loads no
    extensions.

    The module ``sqlite3`` replaces the texts of all errors of functions by one of its own. ``SELECT
    vm_last_error()`` returns the text that SQL would have had. See also ``real_errors``.

    Args:
        target: the connection.

    Returns:
        The exception; None if no call has failed, if a statement was interrupted, and for other
        connections, whose errors have their texts.

    Raises:
        SQLConnectionError: the connection is closed, or belongs to another thread.

    >>> import sqlite3
    >>> udfvm.sqlite.last_error(sqlite3.connect(":memory:")) is None
    True
    """
    if not is_plain(target):
        return None
    from udfvm.sqlite import _plain

    return _plain.last_error(target)


def real_errors(
    target: apsw.Connection | sqlite3.Connection, /
) -> contextlib.AbstractContextManager[None]:
    """Gives errors of statements in the ``with`` block their texts, on a ``sqlite3.Connection``
    that loads no extensions.

    The error is the same object, of the class that ``sqlite3`` chose. Its text is that of the
    function's error, which is the ``__cause__``. Errors that SQLAlchemy and Django make of it have
    the text, too. Where the extension is loaded, errors have their texts without this.

    Args:
        target: the connection.

    Returns:
        A context manager.

    Raises:
        SQLConnectionError: the connection is closed, or belongs to another thread.

    >>> import sqlite3
    >>> @udfvm.udf
    ... def inverse(x: float) -> float:
    ...     return 1 / x
    >>> con = sqlite3.connect(":memory:")
    >>> udfvm.sqlite.register(con, inverse)
    >>> with udfvm.sqlite.real_errors(con):
    ...     con.execute("SELECT inverse(0.0)").fetchall()
    Traceback (most recent call last):
    sqlite3.OperationalError: UDF 'inverse'...: ZeroDivisionError: float division by zero...
    """
    if not is_plain(target):
        return contextlib.nullcontext()
    from udfvm.sqlite import _plain

    return _plain.real_errors(target)


def _named(functions: Sequence[Function], name: str | None) -> list[tuple[str, Function]]:
    """Returns the functions with their names in SQL.

    Raises SignatureError for an object that is not a function, and for a name that is not valid.
    """
    check_functions("udfvm.sqlite.register", functions, name)
    if name is None:
        _check_names(functions)
        return [(function.name, function) for function in functions]
    return [(checked_name(name), functions[0])]


def _check_names(udfs: Sequence[Function]) -> None:
    """Raises SignatureError for different functions of the same name. SQL ignores case."""
    seen: dict[str, Function] = {}
    for udf in udfs:
        other = seen.setdefault(udf.name.lower(), udf)
        if other is not udf:
            raise SignatureError(
                f"udfvm.sqlite.register: {other.name!r} and {udf.name!r} are the same name in SQL,"
                " which ignores case: give one of them another with name="
            )
