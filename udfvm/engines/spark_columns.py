"""Functions of columns of Spark: scalar functions and aggregates."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from udfvm.engines.spark_package import from_arrow_type, functions
from udfvm.engines.spark_workers import AggregateCall, ScalarCall, form_of
from udfvm.errors import KVMUnavailableError, SignatureError, hides_frames
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.integration import check_functions
from udfvm.functions.scalar import ScalarFunction

if TYPE_CHECKING:
    from udfvm.functions.function import Function


@hides_frames
def udf(function: Function, /) -> Any:
    """Makes a function of columns of Spark, as ``pyspark.sql.functions.arrow_udf`` does.

    Spark calls a scalar function with batches, and an aggregate with all rows of a group or window:
    each is a call. A null for a parameter that does not allow None makes the result null without a
    call; an aggregate leaves the row out. Parameters with defaults may be left out.

    Spark takes functions for deterministic, as its own. ``udf(f).asNondeterministic()`` says that a
    scalar one is not.

    Args:
        function: a scalar function, a vectorised one that is declared ``elementwise=True``, or an
            aggregate.

    Returns:
        What makes a column of a column, or the name of one, for each parameter.

    Raises:
        SignatureError: Spark cannot have such a function.
        TypeMappingError: Spark has no type for the result.
        BuildError: the image cannot be built.

    Queries raise ``pyspark.errors.PythonException`` where a call fails, with the text of its error.
    Its row counts in the batch or group.

    >>> @udfvm.udf
    ... def share(x: float, whole: float = 10.0) -> float:
    ...     return x / whole
    >>> spark.range(2).select(udfvm.spark.udf(share)("id").alias("share")).collect()
    [Row(share=0.0), Row(share=0.1)]
    """
    check_functions("udfvm.spark.udf", [function], None)
    if not isinstance(function, (ScalarFunction, AggregateFunction)):
        raise SignatureError(
            f"udfvm.spark.udf: {function.name!r} is a table function: call"
            f" udfvm.spark.map_in_arrow(frame, {function.name}), or udfvm.spark.register"
        )
    check_elementwise(function)
    if not function.parameters:
        raise SignatureError(
            f"UDF {function.name!r}: a function of Spark needs at least one parameter"
        )
    form = form_of(function)
    prepare(function)
    type_ = from_arrow_type(form)
    if isinstance(function, AggregateFunction):
        return functions.arrow_udf(AggregateCall(function), returnType=type_)
    return functions.arrow_udf(ScalarCall(function), returnType=type_)


def prepare(function: Function) -> None:
    """Builds the image here, where that is possible: the workers of this machine find it, and what
    is wrong with the function is known ahead.
    """
    with contextlib.suppress(KVMUnavailableError):  # a driver needs none
        function.prepare()


def check_elementwise(function: Function) -> None:
    if function.form != "aggregate" and not function.elementwise:
        raise SignatureError(
            f"UDF {function.name!r}: Spark cuts its rows into batches, and a vectorised function"
            " sees one batch at a time: declare elementwise=True, if it works row by row"
        )
