"""Columns of other libraries as arguments, and results as these libraries have them.

None of these libraries is imported: an object says itself which one it is of, and that one is
loaded. The first of these that a call is given decides what it returns:

1. a Series or DataFrame of pandas (a Series), an Index, an array of pandas;
2. a Series or DataFrame of polars (a Series);
3. a ``pyarrow.ChunkedArray`` or ``Table`` (a chunked array);
4. a ``pyarrow.Array`` or ``RecordBatch``, any other producer of Arrow data, a buffer (an array);
5. a masked array of numpy, then an array of numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.codec import pandas_columns, polars_columns
from udfvm.codec.argument_errors import wrong_type
from udfvm.codec.buffers import buffer_column
from udfvm.codec.containers import Container, container_of, to_masked
from udfvm.codec.numpy_columns import numpy_column
from udfvm.codec.remedies import refuse_others
from udfvm.codec.struct_columns import CAPSULES, column_in_structs, column_in_table, imported
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter


class Taken(NamedTuple):
    """Arguments of a call as values and arrays of numpy and pyarrow.

    Attributes:
        arguments: one for each parameter.
        container: what to ask for as the result of a call with them.
        give_back: makes what the caller gets of that result.
    """

    arguments: list[Any]
    container: Container
    give_back: Callable[[Any], Any]


def taken(
    function: str, parameters: Sequence[Parameter], arguments: Sequence[Any], *, json: bool = False
) -> Taken:
    """Takes the arguments of a call. ``json``: its results are JSON.

    Raises TypeMappingError for columns that Arrow has no counterpart for, and for columns of pandas
    with different indexes.

    >>> import array
    >>> from udfvm.types.arrow_types import Parameter, named
    >>> x = Parameter("x", named("double"), False)
    >>> taken("f", [x], [array.array("d", [1.0, 2.0])]).arguments[0].to_pylist()
    [1.0, 2.0]
    """
    given, containers = list(arguments), set()
    of_pandas, of_polars, masked = [], [], False
    for index, (parameter, argument) in enumerate(zip(parameters, arguments, strict=True)):
        container = container_of(argument)
        if container is not Container.PRODUCER:
            containers.add(container)
        elif pandas_columns.is_mine(argument):
            given[index] = pandas_columns.column(function, parameter, argument)
            of_pandas.append((parameter.name, argument))
        elif polars_columns.is_mine(argument):
            given[index] = polars_columns.column(function, parameter, argument)
            of_polars.append(argument)
        elif _is_masked(argument):
            given[index], masked = numpy_column(function, parameter, argument), True
        else:
            given[index] = _arrow_column(function, parameter, argument)
            is_table = isinstance(argument, pa.Table)
            containers.add(Container.CHUNKED if is_table else Container.ARRAY)
        if given[index] is not argument:
            refuse_others(function, parameter, _type_of(given[index]), argument)
    if of_pandas:
        return Taken(given, *pandas_columns.giving_back(function, of_pandas, json=json))
    if of_polars:
        return Taken(given, *polars_columns.giving_back(function, of_polars))
    for container in (Container.CHUNKED, Container.ARRAY):
        if container in containers:
            return Taken(given, container, _as_it_is)
    if masked and not json:
        return Taken(given, Container.ARRAY, lambda result: to_masked(function, result))
    return Taken(given, Container.NUMPY, _as_it_is)


def _type_of(column: Any) -> pa.DataType:
    """Returns the type of an array of pyarrow, or of numbers of numpy."""
    is_arrow = isinstance(column, (pa.Array, pa.ChunkedArray))
    return column.type if is_arrow else pa.from_numpy_dtype(column.dtype)


def _as_it_is(result: Any) -> Any:
    return result


def _is_masked(argument: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(argument, numpy.ndarray)


def _arrow_column(function: str, parameter: Parameter, value: Any) -> Any:
    """Takes what pyarrow has, what has Arrow's PyCapsule interface, and buffers."""
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return column_in_table(function, parameter, value, type(value).__name__)
    if not any(hasattr(value, name) for name in CAPSULES):
        return buffer_column(function, parameter, value)
    try:
        column = imported(value)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        found = f"{type(value).__module__}.{type(value).__name__}"
        raise wrong_type(
            function, parameter, f"a {found}, whose Arrow data cannot be read: {error}"
        ) from error
    return column_in_structs(function, parameter, column, type(value).__name__)
