"""Functions in SQL of Spark."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import check_switch, shown
from udfvm.engines.spark_columns import prepare, udf
from udfvm.engines.spark_package import (
    StructField,
    StructType,
    from_arrow_type,
)
from udfvm.engines.spark_package import functions as spark_functions
from udfvm.engines.spark_workers import TableCall, made_fields
from udfvm.errors import SignatureError, UnknownUDFError
from udfvm.functions.function_names import checked_name
from udfvm.functions.integration import check_functions, names_of
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.functions.registrations import forget_names, remember
from udfvm.functions.table import TableFunction
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.functions.function import Function

#: What register() gave to sessions, by its name in lower case.
_registered: Final[weakref.WeakKeyDictionary[Any, set[str]]] = weakref.WeakKeyDictionary()


@checks_options("udfvm.spark.register", elsewhere=OF_FUNCTIONS)
def register(
    session: Any, /, *functions: Function, name: str | None = None, replace: bool = True
) -> None:
    """Makes functions SQL functions of a session of Spark, until it ends.

    Scalar functions and aggregates are called as those of ``udf`` are. Table functions are Arrow
    UDTFs: ``FROM t(3)``, and ``FROM t(TABLE(rows))``, whose columns are the arguments. Spark has no
    ``LATERAL`` for them: call ``map_in_arrow``.

    Args:
        session: a ``SparkSession``.
        functions: functions of any form; vectorised ones that are declared ``elementwise=True``.
        name: the name in SQL of a single function. Default: each function's own.
        replace: True replaces functions of these names that ``register`` gave to the session. False
            refuses such names. Names of other functions are refused in any case.

    Raises:
        SignatureError: a name is taken, or Spark cannot have such a function.
        TypeMappingError: Spark has no type for a result.
        BuildError: an image cannot be built.

    >>> @udfvm.udf
    ... def initials(name: str) -> str:
    ...     return "".join(word[0] for word in name.split())
    >>> udfvm.spark.register(spark, initials)
    >>> spark.sql("SELECT initials('Ada Lovelace') AS i").collect()
    [Row(i='AL')]
    """
    if not hasattr(session, "udtf"):
        raise SignatureError(
            f"udfvm.spark.register takes a SparkSession first; got {shown(session)}"
        )
    check_switch("udfvm.spark.register: replace", replace)
    check_functions("udfvm.spark.register", functions, name)
    known = _registered.setdefault(session, set())
    made = [(checked_name(each.name if name is None else name), each) for each in functions]
    for sql_name, _ in made:
        if sql_name.lower() in known:
            if not replace:
                raise SignatureError(
                    f"udfvm.spark.register: the session has a UDF {sql_name!r}: pass replace=True,"
                    " or another name="
                )
        elif session.catalog.functionExists(sql_name):
            raise SignatureError(
                f"udfvm.spark.register: Spark has a function {sql_name!r} that register() did not"
                " give to this session: pass another name="
            )
    ready = [
        (sql_name, _table(each) if isinstance(each, TableFunction) else udf(each))
        for sql_name, each in made
    ]
    for (sql_name, each), (_, function) in zip(ready, made, strict=True):
        if sql_name.lower() in known:
            _remove(session, sql_name)
        registry = session.udtf if isinstance(function, TableFunction) else session.udf
        registry.register(sql_name, each)
        known.add(sql_name.lower())
    for sql_name, each in made:
        remember(session, sql_name.lower(), each, functools.partial(register, name=sql_name))


@checks_options("udfvm.spark.unregister")
def unregister(session: Any, /, *functions_or_names: Function | str) -> None:
    """Removes functions from a session that ``register`` gave them to.

    Args:
        session: the session.
        functions_or_names: names in SQL, or functions, which stand for their own names.

    Raises:
        UnknownUDFError: the session does not have one of them.

    >>> @udfvm.udf
    ... def doubled(x: int) -> int:
    ...     return 2 * x
    >>> udfvm.spark.register(spark, doubled, name="twice")
    >>> udfvm.spark.unregister(spark, "twice")
    """
    names = names_of("udfvm.spark.unregister", functions_or_names)
    known = _registered.get(session, set())
    for name in names:
        if name.lower() not in known:
            raise UnknownUDFError(
                f"udfvm.spark.unregister: register() gave the session no function {name!r}"
            )
    for name in names:
        _remove(session, name)
        known.discard(name.lower())
    forget_names(session, [name.lower() for name in names])


def _remove(session: Any, name: str) -> None:
    session.sql(f"DROP TEMPORARY FUNCTION IF EXISTS `{name}`")


def _table(function: TableFunction) -> Any:
    """Returns the UDTF of a table function."""
    fields = made_fields(function)
    prepare(function)
    handler = type(function.name, (TableCall,), {"function": function})
    types = [StructField(each.name, from_arrow_type(each.type)) for each in fields]
    return spark_functions.arrow_udtf(handler, returnType=StructType(types))
