"""Private parts of functions for integrations: declarations, calls, checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from udfvm.call.dispatch import Calls
from udfvm.checks import shown
from udfvm.errors import SignatureError
from udfvm.functions.function import Function
from udfvm.functions.group import Group
from udfvm.load.declaration import Declaration
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.pipelines.columns import Columns
    from udfvm.vmm import Image


def declaration_of(function: Function) -> Declaration:
    """Returns the declaration of a function."""
    return function._declaration


def image_if_built(function: Function) -> Image | None:
    """Returns the image that the last call of a function had; None if there is none yet."""
    return function._calls.image_if_built()


def calls_of(function: Function, arguments: int) -> Calls:
    """Returns the object that makes the calls of a function with so many arguments."""
    return function._calls_with(arguments)


def bound_arguments(
    function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Returns an argument for each parameter, defaults included. Raises TypeMappingError for
    arguments that do not fit the parameters.
    """
    return function._bind(tuple(arguments), dict(keywords))


def results_of_values(function: Function, values: Sequence[Any], rows: int) -> pa.Array:
    """Returns the results of so many rows that all have the same values, each called by itself."""
    import pyarrow as pa

    from udfvm.codec.containers import Container
    from udfvm.codec.scalars import scalar_of

    calls = function._calls_with(len(values))
    columns = [
        pa.repeat(scalar_of(function.name, parameter, value), rows)
        for parameter, value in zip(calls.declaration.parameters, values, strict=True)
    ]
    calls.follow()
    return calls.call_columns(columns, Container.ARRAY, rows=rows, spread=True)


def value_of_group(function: AggregateFunction, columns: Sequence[Any]) -> pa.Array:
    """Returns the aggregate of all rows of columns, in a column of the declared type."""
    return function._value_of(columns, Group.finish_column)


def value_of_parts(function: AggregateFunction, parts: Iterable[Sequence[Any]]) -> pa.Array:
    """Returns the aggregate of the rows of all parts, each of which is columns, in a column of the
    declared type. Only one part is in memory at a time. Failures count their row in all.
    """
    from udfvm.codec.arguments import columns_of
    from udfvm.errors import CallError, TypeMappingError

    with function._begin(function._calls.snapshot(None)) as group:
        first_row = 0
        for columns in parts:
            try:
                cast, _ = columns_of(
                    function.name, function.parameters, columns, vectorized=function.vectorized
                )
                group.feed(cast)
            except (CallError, TypeMappingError) as error:
                if error.row is not None:
                    error.locate(first_row + error.row)
                raise
            first_row += len(cast[0])
        return group.finish_column()


def columns_for(function: Function, columns: Columns, schema: pa.Schema) -> dict[str, str]:
    """Returns the column of each parameter that has one, in a source with a schema. ``columns`` is
    as ``map`` takes it.

    Raises OptionError for a column that does not exist, and TypeMappingError for one of a type that
    the parameter does not take.
    """
    found = function._map_parameters().among(columns, schema)
    named = zip(function.parameters, found.columns, strict=True)
    return {parameter.name: column for parameter, column in named if column is not None}


def defaults_of(function: Function) -> dict[str, object]:
    """Returns the defaults of the parameters in Python, by name."""
    return function._column_defaults()


def sample_of(function: Function) -> Any:
    """Returns the arguments in ``sample=`` of a function, as they were checked: for an aggregate
    those of each row of a group. None if it has none.
    """
    return getattr(function._program, "sample", None)


def encoded_defaults(function: Function) -> list[bytes | None]:
    """Returns the defaults of the parameters, encoded as values of a row; lists and structs are
    JSON.

    None stands for a parameter without a default, and for those before one.
    """
    return function._encoded_defaults()


def check_functions(caller: str, functions: Sequence[object], name: str | None) -> None:
    """Raises SignatureError for an object that is not a function of micro-VMs, and for a ``name=``
    of several functions.
    """
    for each in functions:
        _check_function(caller, "UDFs", each)
    if name is not None and len(functions) != 1:
        raise SignatureError(
            f"{caller}: name= is the name of one function; got {len(functions)}: register each by"
            " itself"
        )


def names_of(caller: str, functions_or_names: Sequence[object]) -> list[str]:
    """Returns names, and the names of functions. Raises SignatureError for other objects."""
    names = []
    for each in functions_or_names:
        if isinstance(each, str):
            names.append(each)
        else:
            names.append(_check_function(caller, "UDFs or their names", each).name)
    return names


def _check_function(caller: str, what: str, function: object) -> Function:
    if isinstance(function, Function):
        return function
    if isinstance(function, (list, tuple)):
        raise SignatureError(
            f"{caller} takes {what} one by one; got a {type(function).__name__}: write a * before"
            " it"
        )
    advice = ": decorate it with @udfvm.udf" if callable(function) else ""
    raise SignatureError(f"{caller} takes {what}; got {shown(function)}{advice}")
