"""What Spark's Python workers call.

A worker is a process that the Java process of an executor started, and talks to over a connection.
Objects of these classes are pickled to it with the function as name, source and options. The end of
the connection tells a worker that its task was cancelled: then it ends the calls. Spark closes it
at once where ``spark.python.udf.pipelined.enabled`` is set; otherwise it waits for the results of
the calls, and ends the worker in the end.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.engines.failures import locate_in, made_anew
from udfvm.engines.results import readable
from udfvm.engines.spark_types import argument_converter, spark_form
from udfvm.errors import CallError, TypeMappingError
from udfvm.functions.integration import bound_arguments, value_of_group, value_of_parts
from udfvm.functions.table import TableFunction
from udfvm.vmm import Cancellation

if TYPE_CHECKING:
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.function import Function
    from udfvm.functions.scalar import ScalarFunction
    from udfvm.types.arrow_types import Type

_WORKER = "pyspark.worker"  # the module whose main() has the connection


# ---- The end of a task ----


@contextlib.contextmanager
def _ends_with_task(function: Function, of: str) -> Iterator[None]:
    """Within it calls end when the task is cancelled, and failures say what their row counts in."""
    ends = _cancellation()
    try:
        with ends.applies():
            yield
    except KeyboardInterrupt:
        if not ends:
            raise
        raise CallError(f"UDF {function.name!r}: Spark cancelled the task") from None
    except (CallError, TypeMappingError) as error:
        locate_in(error, of)
        # Spark's errors have the text of the traceback: without the frames of this package.
        raise made_anew(error).with_traceback(None) from error.__cause__


@functools.cache
def _cancellation() -> Cancellation:
    """Returns what is set at the end of the worker's connection."""
    ends = Cancellation()
    connection = _connection()
    if connection is not None:
        # A copy, because the worker closes its own between tasks.
        descriptor = os.dup(connection)
        watch = functools.partial(_watch, descriptor, ends)
        threading.Thread(target=watch, name="udfvm-spark", daemon=True).start()
    return ends


def _connection() -> int | None:
    """Returns the worker's connection. It is a variable of Spark's main function alone."""
    frame = sys._getframe()
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        if frame.f_globals.get("__name__") == _WORKER and "infile" in frame.f_locals:
            return int(frame.f_locals["infile"].fileno())
    return None


def _watch(descriptor: int, ends: Cancellation) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    ends.cancel()


# ---- What is called ----


class _Called:
    """A function as Spark knows it. ``seen_as`` has the annotations that Spark looks at."""

    def __init__(self, function: Function, seen_as: Callable[..., Any]) -> None:
        self.__name__ = function.name
        self.__signature__ = inspect.signature(seen_as, eval_str=True)
        self.__annotations__ = inspect.get_annotations(seen_as, eval_str=True)


def _takes_arrays(*columns: pa.Array, **keywords: pa.Array) -> pa.Array:
    """What Spark takes for a scalar function."""


class _ColumnsCall(_Called):
    """A function that is called with columns."""

    _seen_as: Callable[..., Any]  # a static method

    def __init__(self, function: Any) -> None:
        super().__init__(function, self._seen_as)
        self._function = function
        self._form = form_of(function)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._function,)


class ScalarCall(_ColumnsCall):
    """A scalar function, called with columns of a batch."""

    _seen_as = staticmethod(_takes_arrays)

    def __call__(self, *columns: Any, **keywords: Any) -> Any:
        function = self._function
        given = _converted(function, columns, keywords)
        with _ends_with_task(function, "batch"):
            return readable("Spark", function.name, function(*given), self._form)


def _takes_group(*columns: pa.Array, **keywords: pa.Array) -> pa.Scalar:
    """What Spark takes for an aggregate."""


class AggregateCall(_ColumnsCall):
    """An aggregate, called with columns that have all rows of a group."""

    _seen_as = staticmethod(_takes_group)

    def __call__(self, *columns: Any, **keywords: Any) -> Any:
        function = self._function
        given = _converted(function, columns, keywords)
        with _ends_with_task(function, "group"):
            return readable("Spark", function.name, value_of_group(function, given), self._form)[0]


def _takes_groups(
    key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """What Spark takes for a function of groups that come in batches."""
    raise NotImplementedError


class GroupCall(_Called):
    """An aggregate, called with the batches of a group.

    Args:
        function: the aggregate.
        columns: the column of each parameter that has one.
        keys: the columns that make the groups.
    """

    def __init__(
        self, function: AggregateFunction, columns: dict[str, str], keys: Sequence[str]
    ) -> None:
        super().__init__(function, _takes_groups)
        self._function = function
        self._columns = columns
        self._keys = keys
        self._form = form_of(function)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._function, self._columns, self._keys)

    def __call__(
        self, key: tuple[Any, ...], batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        function = self._function
        with _ends_with_task(function, "group"):
            value = value_of_parts(function, map(self._arguments, batches))
            columns = [_column_of_key(each) for each in key]
            columns.append(readable("Spark", function.name, value, self._form))
        yield pa.RecordBatch.from_arrays(columns, [*self._keys, function.name])

    def _arguments(self, batch: pa.RecordBatch) -> list[Any]:
        columns = {name: batch.column(column) for name, column in self._columns.items()}
        return _converted(self._function, (), columns)


def _column_of_key(value: Any) -> Any:
    column = pa.repeat(value, 1)
    return column.cast(spark_form(column.type))


def _takes_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What Spark takes for a function of the batches of a partition."""
    raise NotImplementedError


class MapCall(_Called):
    """A function whose ``map`` is called with the batches of a partition.

    Args:
        function: the function.
        columns: the column of each parameter that has one, or of each argument.
        keep: the columns that the result has, too.
        options: others of ``map``.
    """

    def __init__(
        self,
        function: ScalarFunction | TableFunction,
        columns: dict[str, str] | list[str],
        keep: list[str],
        options: dict[str, Any],
    ) -> None:
        super().__init__(function, _takes_batches)
        self._made_of = (function, columns, keep, options)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._made_of

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        function, columns, keep, options = self._made_of
        return _mapped(function, batches, columns, keep, "partition", options)


class TableCall:
    """A table function, called with columns of a batch, or with columns of one value. Spark makes
    an object of a class that is derived from it, which has the function.
    """

    function: TableFunction

    def eval(self, *arguments: Any, **keywords: Any) -> Iterator[pa.RecordBatch]:
        """Yields the rows that are made for rows."""
        function = self.function
        if not arguments and not keywords:
            with contextlib.closing(function.batches()) as made:
                yield from _in_task(function, made, 0, "batch")
            return
        if arguments and isinstance(arguments[0], pa.RecordBatch):
            arguments = tuple(arguments[0].columns)
        given = _bound(function, arguments, keywords)
        rows = max(len(each) for each in given if isinstance(each, pa.Array))
        columns = [
            each if isinstance(each, pa.Array) else pa.array([each] * rows) for each in given
        ]
        names = [each.name for each in function.parameters]
        batch = pa.RecordBatch.from_arrays(columns, names)
        yield from _mapped(function, iter([batch]), {each: each for each in names}, [], "batch")


# ---- Columns ----


def form_of(function: Function) -> Any:
    """Returns the type of Arrow in which Spark has the result of a function. Raises
    TypeMappingError if it has none.
    """
    return _form(function.name, function.result.type, "the result")


def made_fields(function: ScalarFunction | TableFunction) -> list[pa.Field]:
    """Returns the columns that ``map`` makes, as Spark has them. Raises TypeMappingError if it has
    no type for one.
    """
    if isinstance(function, TableFunction):
        return [
            pa.field(each.name, _form(function.name, each.type, f"column {each.name!r}"))
            for each in function.columns
        ]
    return [pa.field(function.name, form_of(function))]


def _form(function: str, type_: Type, what: str) -> Any:
    try:
        return spark_form(type_.as_declared_decoded)
    except TypeMappingError as error:
        raise TypeMappingError(f"UDF {function!r}: {what}: {error}") from None


def _bound(
    function: Function, columns: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Any, ...]:
    if function.is_variadic and not keywords:
        return tuple(columns)
    return bound_arguments(function, columns, keywords)


def _converted(
    function: Function, columns: Sequence[Any], keywords: Mapping[str, Any]
) -> list[Any]:
    """Returns an argument for each parameter, as the function takes it."""
    given = list(_bound(function, columns, keywords))
    for at, convert in converters(function, len(given)):
        if isinstance(given[at], pa.Array):
            given[at] = convert(given[at])
    return given


def converters(function: Function, count: int) -> list[tuple[int, Callable[[Any], Any]]]:
    """Returns the converters of so many arguments, by their position, where there is one."""
    last = function.parameters[-1:]  # which stands for those of *args, too
    parameters = itertools.chain(function.parameters, itertools.repeat(last[0]) if last else ())
    found = [argument_converter(each.type) for each in itertools.islice(parameters, count)]
    return [(at, convert) for at, convert in enumerate(found) if convert is not None]


# ---- Rows for rows ----


def _mapped(
    function: ScalarFunction | TableFunction,
    batches: Iterator[pa.RecordBatch],
    columns: dict[str, str] | list[str],
    keep: list[str],
    of: str,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[pa.RecordBatch]:
    """Yields what ``function.map`` makes of batches, as Spark reads it. Failures count their row in
    all of them, which are ``of`` something.
    """
    names = list(columns)
    if isinstance(columns, dict):
        names = [columns.get(each.name, "") for each in function.parameters]

    def converted(batch: pa.RecordBatch) -> pa.RecordBatch:
        for at, convert in converters(function, len(names)):
            if names[at]:
                place = batch.schema.get_field_index(names[at])
                batch = batch.set_column(place, names[at], convert(batch.column(place)))
        return batch

    first = next(batches, None)
    if first is None:
        return
    begin = converted(first)
    every = itertools.chain([begin], map(converted, batches))
    made = function.map(
        pa.RecordBatchReader.from_batches(begin.schema, every),
        columns=columns,
        keep=keep,
        output=pa.RecordBatchReader,
        threads=1,
        progress=False,
        **options,
    )
    try:
        yield from _in_task(function, made, len(keep), of)
    finally:
        made.close()


def _in_task(
    function: ScalarFunction | TableFunction, made: Iterator[pa.RecordBatch], kept: int, of: str
) -> Iterator[pa.RecordBatch]:
    """Yields batches, with their columns after the kept ones as Spark reads them."""
    fields = made_fields(function)
    while True:
        with _ends_with_task(function, of):
            batch = next(made, None)
        if batch is None:
            return
        columns = batch.columns
        for at, field in enumerate(fields, kept):
            columns[at] = readable("Spark", function.name, columns[at], field.type)
        yield pa.RecordBatch.from_arrays(columns, batch.schema.names)
