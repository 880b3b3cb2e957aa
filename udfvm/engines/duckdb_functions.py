"""What DuckDB calls for functions, and the macros that stand before them.

DuckDB's Python API has scalar functions alone. An aggregate ``x`` is ``list_x``, a function of a
list of rows, and a table function ``t`` is ``list_t``, which returns one. Macros make them look as
what they are: ``x(a)`` is ``list_x(list(a))``, and ``t(n)`` unnests ``list_t(n)``.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import functools
import inspect
import itertools
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.codec.containers import Container
from udfvm.engines.duckdb_interrupts import (
    ShortCalls,
    by_short_way,
    database_of,
    interruptible,
    short_calls,
)
from udfvm.engines.duckdb_types import (
    argument_converter,
    check_names,
    duckdb_type,
    in_one_chunk,
    parameter_type,
    quoted,
    result_type,
    widened,
)
from udfvm.engines.results import readable
from udfvm.errors import CallError, Error, SignatureError, TypeMappingError
from udfvm.functions.function_names import checked_name
from udfvm.functions.integration import bound_arguments, calls_of, defaults_of
from udfvm.functions.list_calls import aggregated_lists, listed_rows

if TYPE_CHECKING:
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.function import Function
    from udfvm.functions.table import TableFunction
    from udfvm.types.arrow_types import Parameter

_WITH_TEXT = (int, float, str, decimal.Decimal, datetime.date, datetime.time)


def made_for(name: str, function: Function) -> Registered:
    """Returns what DuckDB gets for a function. Raises SignatureError or TypeMappingError if it
    cannot have it.
    """
    makers = {"aggregate": _Aggregate, "table": _Table}
    try:
        return makers.get(function.form, _Scalar)(checked_name(name), function)
    except TypeMappingError as error:
        raise TypeMappingError(f"UDF {function.name!r}: {error}") from None


class Registered:
    """A function of DuckDB, and perhaps a macro of the connection.

    Attributes:
        name: the name in SQL of all.
        function: the UDF.
        function_name: the name of DuckDB's function.
        macro: the SQL that makes the macro; empty if there is none.
    """

    def __init__(self, name: str, function: Function) -> None:
        self.name = self.function_name = name
        self.function = function
        self.macro = ""
        self.types: list[str] | None = [parameter_type(each.type) for each in function.parameters]
        self.result = ""
        self._database = ""
        self._short: ShortCalls | None = None
        self._converters = [_converter(function, each) for each in function.parameters]
        self._converts = any(self._converters)

    @property
    def names(self) -> set[str]:
        """All names that it takes in DuckDB, which ignores case."""
        return {self.name.lower(), self.function_name.lower()}

    def create(self, connection: Any) -> None:
        """Gives the function, and the macro, to a connection."""
        self._database = database_of(connection, mark=True)
        connection.create_function(
            self.function_name,
            self,
            self.types,
            self.result,
            type="arrow",
            null_handling="special",
            side_effects=not self.function.limits.deterministic,
        )
        if self.macro:
            connection.execute(self.macro).fetchall()

    @property
    def __signature__(self) -> inspect.Signature:
        """DuckDB reads the number of arguments from here."""
        if self.types is None:
            return inspect.Signature(
                [inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)]
            )
        kind = inspect.Parameter.POSITIONAL_ONLY
        names = [f"argument_{index}" for index in range(len(self.types))]
        return inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def __call__(self, *columns: Any) -> Any:
        """One call with a batch. Failures count their row in the batch."""
        made, was_ended = by_short_way(self._short, columns)
        if made is not NotImplemented:
            return made
        call = functools.partial(self._call, [in_one_chunk(each) for each in columns])
        has_effects = self.function.host_functions is not None
        try:
            return interruptible(
                self._database,
                self.function.name,
                call,
                may_repeat=not has_effects,
                was_ended=was_ended,
            )
        except (CallError, TypeMappingError) as error:
            error.locate(error.row, of="batch")
            raise

    def _call(self, columns: list[Any]) -> Any:
        raise NotImplementedError

    def _converted(self, columns: Sequence[Any]) -> list[Any]:
        if not self._converts:
            return list(columns)
        rest = itertools.repeat(self._converters[-1])  # for the values of *args
        converters = itertools.chain(self._converters, rest)
        return [
            each if convert is None else convert(each)
            for each, convert in zip(columns, converters, strict=False)
        ]

    def _parameters(self) -> str:
        """Returns the parameters of a macro, with defaults."""
        defaults = defaults_of(self.function)
        texts = []
        for each, type_ in zip(self.function.parameters, self.types or (), strict=True):
            text = quoted(each.name)
            if each.name in defaults and (value := _literal(defaults[each.name], type_)):
                text += f" := {value}"
            texts.append(text)
        return ", ".join(texts)

    def _macro(self, body: str, table: str = "") -> str:
        check_names([each.name for each in self.function.parameters], "the parameters")
        macro = f"temp.main.{quoted(self.name)}({self._parameters()})"
        return f"CREATE OR REPLACE TEMP MACRO {macro} AS {table}{body}"

    def _called(self, arguments: str) -> str:
        return f"system.main.{quoted(self.function_name)}({arguments})"

    def _names(self) -> str:
        return ", ".join(quoted(each.name) for each in self.function.parameters)


class _Scalar(Registered):
    """A scalar function, or an elementwise one of columns."""

    def __init__(self, name: str, function: Function) -> None:
        super().__init__(name, function)
        if not function.elementwise:
            raise SignatureError(
                f"UDF {function.name!r}: DuckDB cuts its rows into batches, and a vectorised"
                " function sees one batch at a time: declare elementwise=True, if it works row by"
                " row"
            )
        self.result = duckdb_type(function.result.type)
        self._result_type = result_type(function.result.type)
        if function.is_variadic:
            self.types = None
        elif not self.types:
            self.macro = self._macro(self._called("0"))
            self.types = ["TINYINT"]  # a column that says how many rows there are
        elif ":=" in self._parameters():
            self.macro = self._macro(self._called(self._names()))

    def create(self, connection: Any) -> None:
        """Gives the function, and the macro, to a connection."""
        super().create(connection)
        if self._result_type == self.function.result.type.arrow:
            self._short = short_calls(self.function, self._database)

    def _call(self, columns: list[Any]) -> Any:
        rows = len(columns[0])
        if not self.function.parameters:
            columns = []
        columns = self._converted(columns)
        calls = calls_of(self.function, len(columns))
        if columns:
            result = calls.call(tuple(columns))
        else:
            result = calls.call_columns([], Container.CHUNKED, rows=rows)
        return readable("DuckDB", self.function.name, result, self._result_type)


class _Aggregate(Registered):
    """An aggregate: a function of lists of what ``step`` takes."""

    function: AggregateFunction

    def __init__(self, name: str, function: Function) -> None:
        super().__init__(name, function)
        self.function_name = f"list_{name}"
        self.result = duckdb_type(function.result.type)
        self._result_type = result_type(function.result.type)
        names, types = [each.name for each in function.parameters], self.types or []
        if not names:
            raise SignatureError(
                f"UDF {function.name!r}: an aggregate of DuckDB needs at least one parameter"
            )
        self._is_struct = len(names) > 1
        listed = self._names()
        if self._is_struct:
            listed = ", ".join(f"{_text(each)}: {quoted(each)}" for each in names)
            listed = f"{{{listed}}}"
        self.macro = self._macro(self._called(f"list({listed})"))
        fields = [f"{quoted(each)} {type_}" for each, type_ in zip(names, types, strict=True)]
        self.types = [f"STRUCT({', '.join(fields)})[]" if self._is_struct else f"{types[0]}[]"]

    def _call(self, columns: list[Any]) -> Any:
        (lists,) = columns
        rows = pc.list_flatten(lists)
        groups = pc.list_parent_indices(lists)
        columns = rows.flatten() if self._is_struct else [rows]
        result = aggregated_lists(self.function, self._converted(columns), groups, len(lists))
        return readable("DuckDB", self.function.name, result, self._result_type)


class _Table(Registered):
    """A table function: a function that returns a list of structs."""

    function: TableFunction

    def __init__(self, name: str, function: Function) -> None:
        super().__init__(name, function)
        self.function_name = f"list_{name}"
        columns = cast("TableFunction", function).columns
        fields = [f"{quoted(each.name)} {duckdb_type(each.type)}" for each in columns]
        self.result = f"STRUCT({', '.join(fields)})[]"
        self._result_type = pa.list_(
            pa.struct([pa.field(each.name, result_type(each.type)) for each in columns])
        )
        called = self._called(self._names() or "0")
        self.macro = self._macro(f"SELECT unnest({called}, max_depth := 2)", "TABLE ")
        self.types = self.types or ["TINYINT"]

    def _call(self, columns: list[Any]) -> Any:
        rows = len(columns[0])
        if not self.function.parameters:
            columns = []
        result = listed_rows(self.function, self._converted(columns), rows)
        return readable("DuckDB", self.function.name, result, self._result_type)


class TableScan:
    """The rows of a table function as DuckDB scans them: each scan is a call."""

    def __init__(
        self,
        database: str,
        function: TableFunction,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        self._database = database
        self._name = function.name
        self._call = functools.partial(
            function.batches, *bound_arguments(function, arguments, keywords)
        )
        for each in function.columns:
            try:
                duckdb_type(each.type)
            except TypeMappingError as error:
                raise TypeMappingError(f"UDF {function.name!r}: {error}") from None
        self._schema = pa.schema(
            [pa.field(each.name, result_type(each.type)) for each in function.columns]
        )

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Generator[pa.RecordBatch]:
        try:
            with contextlib.closing(self._call()) as batches:
                fetch = functools.partial(next, batches, None)
                while True:
                    batch = interruptible(self._database, self._name, fetch, may_repeat=False)
                    if batch is None:
                        return
                    columns = [
                        readable("DuckDB", self._name, column, type_)
                        for column, type_ in zip(batch.columns, self._schema.types, strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(columns, schema=self._schema)
        except Error as error:
            error.drop_frames()  # DuckDB puts the frames into the text of its error
            raise


def _converter(function: Function, parameter: Parameter) -> Callable[[Any], Any] | None:
    """Returns what makes of a column of DuckDB one that the function takes; None for nothing."""
    convert = argument_converter(parameter.type)
    if convert is None and function.is_variadic:
        return lambda column: widened(column, parameter.type)
    return convert


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(value: object, type_: str) -> str:
    """Returns a default as SQL; empty for a value that has no text there."""
    if value is None:
        return f"NULL::{type_}"
    if isinstance(value, bytes):
        text = "".join(f"\\x{byte:02X}" for byte in value)
    elif isinstance(value, _WITH_TEXT):
        text = str(value)
    else:
        return ""
    return f"{_text(text)}::{type_}"
