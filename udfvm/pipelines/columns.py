"""Which columns of a source a pipeline reads, calls with and keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from udfvm.checks import shown
from udfvm.codec.any_columns import nulls
from udfvm.codec.arguments import columns_of
from udfvm.errors import OptionError, TypeMappingError
from udfvm.keywords import names_shown
from udfvm.texts import counted
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Parameter

Columns = str | Sequence[str] | Mapping[str, str] | None


class Arguments(NamedTuple):
    """The arguments of calls.

    Attributes:
        function: the function's name.
        parameters: its parameters.
        vectorized: True if it takes columns.
        columns: the column of each parameter; None for one that has its default.
        defaults: the default of each parameter that has no column.
    """

    function: str
    parameters: tuple[Parameter, ...]
    vectorized: bool
    columns: tuple[str | None, ...]
    defaults: tuple[Any, ...]

    def of(self, batch: pa.RecordBatch) -> list[Any]:
        """Returns the arguments in a batch: arrays and defaults, not yet of the declared types."""
        return [
            default if name is None else batch.column(name)
            for name, default in zip(self.columns, self.defaults, strict=True)
        ]

    def cast(self, arguments: Sequence[Any]) -> list[pa.Array]:
        """Returns arguments as arrays of the declared types. Raises TypeMappingError."""
        columns, _ = columns_of(
            self.function, self.parameters, arguments, vectorized=self.vectorized
        )
        return columns

    @contextlib.contextmanager
    def naming_columns(self) -> Iterator[None]:
        """Makes errors about arguments name the columns, too."""
        try:
            yield
        except TypeMappingError as error:
            names = [parameter.name for parameter in self.parameters]
            if error.argument in names:
                error.of_column(self.columns[names.index(error.argument)])
            raise


class Parameters(NamedTuple):
    """The parameters of a function, which find their columns in a source.

    Attributes:
        function: the function's name.
        parameters: its parameters.
        defaults: the values of those that need no column.
        vectorized: True if the function takes columns.
    """

    function: str
    parameters: tuple[Parameter, ...]
    defaults: Mapping[str, Any]
    vectorized: bool

    def wanted(self, columns: Columns) -> frozenset[str]:
        """Returns the names of columns that may be arguments. ``columns`` is as for ``among``."""
        if columns is None:
            return frozenset(parameter.name for parameter in self.parameters)
        chosen = _by_parameter(self.function, self.parameters, columns).values()
        return frozenset(name for name in chosen if isinstance(name, str))

    def among(self, columns: Columns, schema: pa.Schema) -> Arguments:
        """Returns the arguments that ``columns`` names.

        Args:
            columns: names of columns in the order of the parameters, or by parameter; None for
                columns that have the parameters' names.
            schema: the columns of the source.

        Raises OptionError for a column that does not exist, and TypeMappingError for one of a type
        that the parameter does not take.
        """
        function = self.function
        chosen = _by_parameter(function, self.parameters, columns)
        found: list[str | None] = []
        for parameter in self.parameters:
            name = chosen.get(parameter.name, None if columns is not None else parameter.name)
            if name is None or (columns is None and name not in schema.names):
                if parameter.name not in self.defaults:
                    raise OptionError(
                        f"UDF {function!r}: map() finds no column for parameter"
                        f" {parameter.name!r}: pass columns={{{parameter.name!r}: COLUMN}}; the"
                        " source has"
                        f" {names_shown(schema.names)}"
                    )
                found.append(None)
                continue
            check_column(function, "columns", name, schema)
            found.append(name)
        if all(name is None for name in found):
            raise OptionError(f"UDF {function!r}: map() needs a column for at least one parameter")
        defaults = tuple(self.defaults.get(parameter.name) for parameter in self.parameters)
        arguments = Arguments(function, self.parameters, self.vectorized, tuple(found), defaults)
        fields = [schema.field(name) for name in dict.fromkeys(found) if name is not None]
        with arguments.naming_columns():
            arguments.cast(arguments.of(_empty(pa.schema(fields))))
        return arguments


def sliced(given: Sequence[Any], start: int, count: int) -> list[Any]:
    """Returns the arguments of some rows: of arrays their part, defaults as they are."""
    return [each.slice(start, count) if isinstance(each, pa.Array) else each for each in given]


def listed_names(function: str, option: str, given: object) -> list[str]:
    """Returns names of columns, which may be one. Raises OptionError for what is neither."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        return list(given)
    raise OptionError(
        f"UDF {function!r}: {option}={shown(given)} must be the name of a column, or a list of them"
    )


def check_column(function: str, option: str, name: object, schema: pa.Schema) -> None:
    """Raises OptionError unless a name is that of one column."""
    count = schema.names.count(name)
    if not count:
        raise OptionError(
            f"UDF {function!r}: {option}= names {name!r}, and the source has no column of that"
            f" name; it has {names_shown(schema.names)}"
        )
    if count > 1:
        raise several_columns(function, name, "table.rename_columns", schema.names)


def several_columns(function: str, name: object, way: str, names: Sequence[str]) -> OptionError:
    """Returns the error for a name that several columns of a source have. ``way`` gives others."""
    return OptionError(
        f"UDF {function!r}: the source has several columns named {name!r}, and map() cannot tell"
        f" which one is meant: give them names of their own ({way}); it has {names_shown(names)}"
    )


def kept_columns(
    function: str,
    keep: Sequence[str] | None,
    schema: pa.Schema,
    made: Sequence[str],
    index: Sequence[str],
) -> tuple[str, ...]:
    """Returns the columns of the source that results have, too: those in ``keep``, or all, and
    ``index``.

    Raises OptionError if they do not exist, or if two columns of the results have one name.
    ``made`` are the names of those that the function makes.
    """
    kept = tuple(schema.names if keep is None else keep)
    for name in kept:
        check_column(function, "keep", name, schema)
        if kept.count(name) > 1:
            raise OptionError(f"UDF {function!r}: keep= names {name!r} more than once")
    kept += tuple(name for name in index if name not in kept)
    doubled = next((name for name in made if name in kept), None)
    if doubled is not None:
        raise OptionError(
            f"UDF {function!r}: the source has a column {doubled!r}, and so would the result:"
            f" {_other_name(function, doubled, index)}"
        )
    return kept


def _other_name(function: str, column: str, index: Sequence[str]) -> str:
    """Returns how a column of the result, or of the source, gets another name. Only that of a
    scalar function has the function's name.
    """
    way = "pass frame.rename_axis(...)" if column in index else "leave it out by keep="
    if column == function:
        return f"{way}, or call with_options(name=...).map"
    return way if column in index else f"{way}, or rename the source's column"


def _by_parameter(
    function: str, parameters: Sequence[Parameter], columns: Columns
) -> dict[str, str]:
    if columns is None:
        return {}
    names = [parameter.name for parameter in parameters]
    if isinstance(columns, Mapping):
        unknown = next((name for name in columns if name not in names), None)
        if unknown is not None:
            raise OptionError(
                f"UDF {function!r}: columns= names a parameter {unknown!r}; the parameters are"
                f" {', '.join(names)}"
            )
        return dict(columns)
    listed = listed_names(function, "columns", columns)
    if len(listed) > len(names):
        raise OptionError(
            f"UDF {function!r}: columns= names {counted(len(listed), 'column')} for"
            f" {counted(len(names), 'parameter')}"
        )
    return dict(zip(names, listed, strict=False))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([nulls(0, each.type) for each in schema], schema=schema)
