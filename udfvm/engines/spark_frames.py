"""Functions of the rows and groups of frames of Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.checks import shown
from udfvm.engines.spark_columns import check_elementwise, prepare
from udfvm.engines.spark_package import (
    StructField,
    StructType,
    from_arrow_type,
    functions,
    to_arrow_schema,
)
from udfvm.engines.spark_workers import GroupCall, MapCall, converters, form_of, made_fields
from udfvm.errors import OptionError, SignatureError, hides_frames
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.integration import check_functions, columns_for
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.pipelines.failures import OnError


@hides_frames
def map_in_arrow(
    frame: Any,
    function: ScalarFunction | TableFunction,
    /,
    *columns: str,
    keep: Sequence[str] | None = None,
    on_error: OnError = "raise",
    timeout_per_row: float | None = None,
) -> Any:
    """Returns a frame with what a function makes of the rows of a frame, by Spark's ``mapInArrow``.

    A table function makes any number of rows for each row, a scalar function one column. Each task
    calls ``function.map`` with the batches of its partition.

    Args:
        frame: a frame of Spark.
        function: a table function, a scalar function, or a vectorised one that is declared
            ``elementwise=True``.
        columns: the name of a column for each parameter. None: columns with the parameters' names;
            a parameter without a column has its default.
        keep: names of columns of the frame that the result has, too. Default: all.
        on_error, timeout_per_row: as for ``function.map``.

    Returns:
        A frame with the kept columns and those of the function.

    Raises:
        SignatureError: it is no such function.
        OptionError: the frame has no such column.
        TypeMappingError: a column has a type that its parameter does not take, or Spark has no type
            for a column of the function.
        BuildError: the image cannot be built.

    Queries raise ``pyspark.errors.PythonException`` where a call fails. The row of its error counts
    in the partition.

    >>> @udfvm.table_function(columns={"word": str})
    ... def words(text: str):
    ...     yield from text.split()
    >>> lines = spark.createDataFrame([(1, "to be"), (2, "or")], "line int, text string")
    >>> udfvm.spark.map_in_arrow(lines, words, "text", keep=["line"]).collect()
    [Row(line=1, word='to'), Row(line=1, word='be'), Row(line=2, word='or')]
    """
    check_functions("udfvm.spark.map_in_arrow", [function], None)
    if not isinstance(function, (ScalarFunction, TableFunction)):
        raise SignatureError(
            f"udfvm.spark.map_in_arrow: {function.name!r} is an aggregate: call"
            f" udfvm.spark.apply_in_arrow(frame, {function.name}, by=...)"
        )
    if isinstance(function, ScalarFunction):
        check_elementwise(function)
    _check_frame("udfvm.spark.map_in_arrow", frame)
    kept = list(frame.columns if keep is None else [keep] if isinstance(keep, str) else keep)
    made = made_fields(function)
    _check_kept(function, frame, kept, [each.name for each in made])
    schema = StructType(
        [*(frame.schema[name] for name in kept)]
        + [StructField(each.name, from_arrow_type(each.type)) for each in made]
    )
    needed, chosen = _arguments(function, frame, columns, kept)
    prepare(function)
    options = {"on_error": on_error, "timeout_per_row": timeout_per_row}
    return needed.mapInArrow(MapCall(function, chosen, kept, options), schema)


@hides_frames
def apply_in_arrow(
    frame: Any, function: AggregateFunction, /, *columns: str, by: str | Sequence[str]
) -> Any:
    """Returns a frame with the value of an aggregate for each group of rows, by Spark's
    ``applyInArrow``.

    A task has one batch of a group in memory at a time, where ``udf`` has all of its rows. Each
    group is a call.

    Args:
        frame: a frame of Spark.
        function: the aggregate.
        columns: the name of a column for each parameter. None: columns with the parameters' names;
            a parameter without a column has its default.
        by: the names of the columns that make the groups.

    Returns:
        A frame with the columns of ``by``, and one with the function's name.

    Raises:
        SignatureError: it is no aggregate.
        OptionError: the frame has no such column.
        TypeMappingError: a column has a type that its parameter does not take, or Spark has no type
            for the result.
        BuildError: the image cannot be built.

    Queries raise ``pyspark.errors.PythonException`` where a call fails. The row of its error counts
    in the group.

    >>> @udfvm.aggregate
    ... class Longest:
    ...     def __init__(self):
    ...         self.found = ""
    ...     def step(self, word: str) -> None:
    ...         self.found = max(self.found, word, key=len)
    ...     def finish(self) -> str:
    ...         return self.found
    >>> words = spark.createDataFrame([(1, "to"), (1, "been"), (2, "or")], "line int, word string")
    >>> udfvm.spark.apply_in_arrow(words, Longest, "word", by="line").sort("line").collect()
    [Row(line=1, longest='been'), Row(line=2, longest='or')]
    """
    check_functions("udfvm.spark.apply_in_arrow", [function], None)
    if not isinstance(function, AggregateFunction):
        raise SignatureError(
            f"udfvm.spark.apply_in_arrow takes an aggregate, and {function.name!r} is none: call"
            f" udfvm.spark.map_in_arrow(frame, {function.name})"
        )
    _check_frame("udfvm.spark.apply_in_arrow", frame)
    keys = [by] if isinstance(by, str) else list(by)
    _check_kept(function, frame, keys, [function.name])
    result = StructField(function.name, from_arrow_type(form_of(function)))
    schema = StructType([*(frame.schema[name] for name in keys), result])
    needed, chosen = _arguments(function, frame, columns, keys)
    prepare(function)
    return needed.groupBy(*keys).applyInArrow(GroupCall(function, chosen, keys), schema)


def _check_frame(caller: str, frame: object) -> None:
    if not hasattr(frame, "mapInArrow"):
        raise SignatureError(f"{caller} takes a frame of Spark first; got {shown(frame)}")


def _check_kept(function: Function, frame: Any, kept: Sequence[str], made: Sequence[str]) -> None:
    """Raises OptionError unless these are columns of a frame, each once."""
    for name in kept:
        if frame.columns.count(name) != 1:
            raise OptionError(
                f"UDF {function.name!r}: the frame has {frame.columns.count(name)} columns named"
                f" {name!r}; its columns are {', '.join(frame.columns)}"
            )
        if name in made:
            raise OptionError(
                f"UDF {function.name!r}: the frame has a column {name!r}, and so would the result:"
                " leave it out by keep=, or rename it"
            )


def _arguments(
    function: Function, frame: Any, columns: Sequence[str], kept: Sequence[str]
) -> tuple[Any, Any]:
    """Returns a frame with the kept columns and the arguments, and the column of each parameter
    that has one; of each argument if the function takes any number.

    Columns that workers convert, and keep, are there twice. Raises OptionError and
    TypeMappingError.
    """
    schema = to_arrow_schema(frame.schema, timezone="UTC")
    names = list(columns) or [each.name for each in function.parameters]
    copies: dict[str, str] = {}
    for at, convert in converters(function, len(names)):
        name = names[at]
        if schema.names.count(name) == 1:
            place = schema.get_field_index(name)
            type_ = convert(pa.array([], schema.types[place])).type
            if type_ != schema.types[place]:
                schema = schema.set(place, pa.field(name, type_))
                if name in kept:
                    copies[name] = f"{name} of {function.name}"
    if function.is_variadic:
        return _selected(frame, kept, names, copies), [copies.get(each, each) for each in names]
    chosen = columns_for(function, list(columns) or None, schema)
    found = {parameter: copies.get(name, name) for parameter, name in chosen.items()}
    return _selected(frame, kept, list(chosen.values()), copies), found


def _selected(
    frame: Any, kept: Sequence[str], names: Sequence[str], copies: Mapping[str, str]
) -> Any:
    needed = {name: name for name in kept}
    needed |= {copies.get(name, name): name for name in names}
    columns = [functions.col(_quoted(name)).alias(made) for made, name in needed.items()]
    return frame.select(*columns)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
