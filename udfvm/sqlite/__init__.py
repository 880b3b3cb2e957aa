"""Functions in micro-VMs as SQL functions of an SQLite connection.

``register(con, score)`` gives the connection two functions that run ``score`` in a micro-VM:
``score(...)`` itself, and ``vm_udf('score', ...)``, which finds any registered function by its
name. ``unregister(con, score)`` takes them away. Rows never enter Python on the host: a loadable
extension in C, beside this file, moves them between SQLite and the micro-VM.

``vm_map`` runs functions over whole queries in batches. ``vm_table`` and ``vm_agg`` run table
functions and aggregates, which have SQL functions of their own names too: see
docs/sqlite_batches.md.

**A call.** With isolation ``"statement"``, the default, one execution of an SQL statement is one
call. The first row takes a micro-VM at the function's sealed state. All rows that the statement
computes with that function run in that micro-VM, one after the other. When the execution ends (last
row, error, reset, closed cursor), everything that they left there is put back, and the next
execution begins at the sealed state again. Different functions in one statement have a micro-VM
each; a firing of a trigger is an execution of its own. A statement runs a Python function as it is
when the statement comes to it: names in it that mean other objects than before are captured anew.
With isolation ``"row"`` each row is a call of its own, which starts from the sealed state. A
function's ``timeout`` and ``max_output`` are those of each row. A statement that is not finished
keeps its micro-VMs.

**Types.** ``int`` takes INTEGER; ``float`` takes REAL or INTEGER; ``bool`` takes INTEGER 0 or 1;
``str`` takes TEXT (valid UTF-8); ``bytes`` takes BLOB. Nothing is converted with loss: another
type, or an INTEGER that is no REAL exactly, is an SQL error that names the argument. NULL for a
parameter that does not allow None makes the result NULL without a call. Results come back the same
way; NaN becomes NULL, as always in SQLite. A ``dict`` or ``list`` comes back as JSON, with SQLite's
subtype for it.

**Safety.** The functions are ``SQLITE_DIRECTONLY``: SQL text can use them. The schema of a database
(views, triggers, indexes, generated columns), which may be a stranger's, cannot, unless
``in_schema=True``. They are ``SQLITE_DETERMINISTIC`` only if declared deterministic; ``vm_udf``
never is, and is never usable in a schema.

**Errors** are ``apsw.SQLError`` with the full text of what Python would have raised: the guest's
exception with its traceback, or the limit that was passed, and the row, counted from 0 in the order
in which the statement came to them. What Python would have raised is the ``__cause__``. The
connection stays usable, and a transaction around the statement intact. Ctrl-C in a call is a
KeyboardInterrupt; ``Connection.interrupt`` ends a statement between two calls.

**Output** of functions goes to the program's own ``sys.stdout`` and ``sys.stderr`` with every row,
or where their ``log=`` says; for functions that are stored in the database, where the policy's
``log=`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import check_switch
from udfvm.errors import Error, OptionError, SignatureError
from udfvm.functions.function import checked_name
from udfvm.functions.integration import check_function
from udfvm.keywords import checks_options
from udfvm.sqlite import _extension
from udfvm.sqlite._functions import offered_function
from udfvm.sqlite._offer import offer
from udfvm.sqlite.policy import Policy

if TYPE_CHECKING:
    import sqlite3

    import apsw

    from udfvm.functions.function import Function
    from udfvm.load.declaration import Isolation

__all__ = ["EXTENSION", "Policy", "register", "unregister"]

#: Path of the loadable extension, for the sqlite3 shell's ``.load`` and programs without Python.
EXTENSION: Final = _extension.PATH

# SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: switches extension loading for C alone; the SQL function
# load_extension() stays as it was.
_ENABLE_LOAD_EXTENSION: Final = 1005


@checks_options
def register(
    connection: apsw.Connection | sqlite3.Connection,
    *functions: Function,
    name: str | None = None,
    replace: bool = True,
    isolation: Isolation | None = None,
    in_schema: bool = False,
    policy: Policy | None = None,
) -> None:
    """Gives a connection an SQL function for each function, and ``vm_udf(name, ...)`` for all of
    them.

    May be called again, to add functions or to replace those of the same name. Images are built (or
    taken from the cache) here, not in the first statement. The connection keeps what it needs until
    it is closed.

    ``name`` is the name in SQL of a single function; without it each has its own.

    ``replace=False`` refuses a name that SQL has a function of already: one that was registered, or
    one of SQLite's own.

    ``isolation`` says what a call is: ``"statement"``, an execution of a statement, whose rows
    share a micro-VM, or ``"row"``, each row. Without it each function keeps its own.

    ``in_schema`` lets views, triggers, indexes and generated columns use the functions: for
    databases whose schema you trust.

    ``policy`` says what SQL may do with functions that are stored in the database (``vm_create``),
    and how long statements may take. Without one the connection keeps the policy that it has; at
    first none run, and none can be created. See docs/sqlite.md.

    ``connection`` is an ``apsw.Connection``; a ``sqlite3.Connection`` of the standard library works
    where Python was built with support for extensions, and has extension loading switched off
    afterwards.

    Raises ``TypeMappingError`` for a function with a type that SQL has not, ``SignatureError`` for
    a name that is taken, ``udfvm.errors.Error`` where the connection takes no extensions, and what
    building an image raises. A function cannot be replaced while statements of the connection run.

    >>> import apsw
    >>> @udfvm.udf
    ... def initials(name: str) -> str:
    ...     return "".join(word[0] for word in name.split())
    >>> con = apsw.Connection(":memory:")
    >>> udfvm.sqlite.register(con, initials)
    >>> con.execute("SELECT vm_udf('initials', 'Ada Lovelace'), initials('Alan Turing')").fetchall()
    [('AL', 'AT')]
    """
    check_switch("in_schema", in_schema)
    check_switch("replace", replace)
    if isolation not in (None, "statement", "row"):
        raise OptionError(
            f"udfvm.sqlite.register: isolation={isolation!r} must be 'statement' or 'row'"
        )
    named = _named(functions, name)
    offered_policy = policy.for_extension() if policy else None
    offer(
        _loader("register", connection),
        functions=[
            offered_function(
                function,
                name=name_in_sql,
                isolation=isolation or function.isolation,
                in_schema=in_schema,
                log_sink=offered_policy.log_sink if offered_policy else 0,
            )
            for name_in_sql, function in named
        ],
        replace=replace,
        policy=offered_policy,
        runtimes=policy.runtimes() if policy else [],
        to_apsw=_is_apsw(connection),
    )


def unregister(
    connection: apsw.Connection | sqlite3.Connection, *functions_or_names: Function | str
) -> None:
    """Takes functions away from a connection that ``register`` gave it: by their names in SQL, or
    as they are, which means their own names.

    Raises ``UnknownUDFError`` for one that the connection does not have; all stay then. A function
    cannot be taken away while statements of the connection run.

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
    names: list[str] = []
    for each in functions_or_names:
        if not isinstance(each, str):
            check_function("udfvm.sqlite.unregister", each)
        names.append(each if isinstance(each, str) else each.name)
    if names:
        offer(_loader("unregister", connection), removed=names, to_apsw=_is_apsw(connection))


def _named(functions: Sequence[Function], name: str | None) -> list[tuple[str, Function]]:
    """The functions with their names in SQL. Raises SignatureError for what is no function, and for
    a name that cannot be.
    """
    for function in functions:
        check_function("udfvm.sqlite.register", function)
    if name is None:
        _check_names(functions)
        return [(function.name, function) for function in functions]
    if len(functions) != 1:
        raise SignatureError(
            f"udfvm.sqlite.register: name= is the name of one function; got {len(functions)}:"
            " register each by itself"
        )
    return [(checked_name(name), functions[0])]


def _is_apsw(connection: object) -> bool:
    return any(cls.__module__ == "apsw" for cls in type(connection).__mro__)


def _check_names(udfs: Sequence[Function]) -> None:
    """Raises Error for different functions of one name. Case does not count in SQL."""
    seen: dict[str, Function] = {}
    for udf in udfs:
        other = seen.setdefault(udf.name.lower(), udf)
        if other is not udf:
            raise Error(
                f"udfvm.sqlite.register: {other.name!r} and {udf.name!r} are one name in SQL, where"
                " case does not count: give one another by name="
            )


def _loader(caller: str, connection: Any) -> Callable[[], None]:
    """What loads the extension into the connection; extension loading is afterwards as it was."""
    if getattr(connection, "is_async", False):
        raise Error(
            f"udfvm.sqlite.{caller}: the connection is asynchronous; {caller} from a connection"
            " hook, which runs in its thread"
        )
    if not hasattr(connection, "load_extension"):
        if not any(cls.__module__ == "sqlite3" for cls in type(connection).__mro__):
            raise Error(
                f"udfvm.sqlite.{caller} takes an apsw.Connection or a sqlite3.Connection; got"
                f" {type(connection).__name__}"
            )
        raise Error(
            f"udfvm.sqlite.{caller}: this Python's sqlite3 was built without support for"
            " loadable extensions: use apsw, or a Python that was configured with"
            " --enable-loadable-sqlite-extensions"
        )
    path = str(_extension.PATH)

    def load_into_apsw() -> None:
        before = connection.config(_ENABLE_LOAD_EXTENSION, -1)  # a negative value asks
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
