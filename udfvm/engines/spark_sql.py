"""Functions in SQL of Spark."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from udfvm.checks import shown
from udfvm.engines.registered_names import RegisteredNames
from udfvm.engines.spark_columns import prepare, udf
from udfvm.engines.spark_package import (
    StructField,
    StructType,
    from_arrow_type,
)
from udfvm.engines.spark_package import functions as spark_functions
from udfvm.engines.spark_workers import TableCall, made_fields
from udfvm.errors import SignatureError
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.functions.table import TableFunction
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.functions.function import Function

_names: Final = RegisteredNames[str]("spark", "Spark", "session", ignores_case=True)


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
    _check_session("udfvm.spark.register", session)
    named = _names.named(functions, name, replace=replace)
    known = _names.of(session)

    def foreign(name: str) -> str | None:
        is_own = _names.key(name) in known
        return None if is_own or not session.catalog.functionExists(name) else name

    _names.check(session, named, foreign, replace=replace)
    made = [_table(each) if isinstance(each, TableFunction) else udf(each) for _, each in named]
    for (sql_name, function), each in zip(named, made, strict=True):
        _remove(session, sql_name)
        registry = session.udtf if isinstance(function, TableFunction) else session.udf
        registry.register(sql_name, each)
        again = functools.partial(register, name=sql_name)
        _names.add(session, sql_name, function, sql_name, again)


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
    _check_session("udfvm.spark.unregister", session)
    for name in _names.to_remove(session, functions_or_names):
        _remove(session, name)


def _check_session(caller: str, session: object) -> None:
    if not hasattr(session, "udtf"):
        raise SignatureError(f"{caller} takes a SparkSession first; got {shown(session)}")


def _remove(session: Any, name: str) -> None:
    """Removes a function, if the session was given it."""
    found = _names.pop(session, name)
    if found is not None:
        session.sql(f"DROP TEMPORARY FUNCTION IF EXISTS `{found}`")


def _table(function: TableFunction) -> Any:
    """Returns the UDTF of a table function."""
    fields = made_fields(function)
    prepare(function)
    handler = type(function.name, (TableCall,), {"function": function})
    types = [StructField(each.name, from_arrow_type(each.type)) for each in fields]
    return spark_functions.arrow_udtf(handler, returnType=StructType(types))
