"""Functions on frames and Series of pandas, by accessors.

A function takes Series, and returns one, without this module: ``score(frame["a"], frame["b"])``.

>>> import pandas as pd
>>> @udfvm.udf
... def speed(distance: float, hours: float) -> float | None:
...     return distance / hours if hours else None
>>> udfvm.pandas.register()
>>> flights = pd.DataFrame({"distance": [300.0, 100.0], "hours": [2.0, 0.0]}, index=["a", "b"])
>>> flights.udfvm.map(speed, "distance", "hours")
a    150.0
b      NaN
Name: speed, dtype: float64
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from udfvm.checks import shown
from udfvm.codec.arguments import columns_of
from udfvm.codec.pandas_columns import Backend, backend_of, series_of
from udfvm.engines.packages import load_package
from udfvm.errors import OptionError, SignatureError, TypeMappingError, hides_frames
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.integration import (
    bound_arguments,
    check_functions,
    defaults_of,
    results_of_values,
    value_of_group,
)
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction
from udfvm.keywords import names_shown, no_column
from udfvm.pipelines.columns import listed_names

if TYPE_CHECKING:
    from udfvm.functions.function import Function

_pandas: Any = load_package("pandas", engine="pandas", package="pandas", oldest="3.0")

__all__ = ["register"]


def __dir__() -> list[str]:
    return sorted(__all__)


def register() -> None:
    """Gives frames and Series of pandas the accessor ``udfvm``.

    ``frame.udfvm.map(f, "a", "b")`` and ``series.udfvm.map(f)`` return a Series with the index of
    the frame or Series. ``frame.udfvm.aggregate(f, "a", by="key")`` returns a Series with a value
    of an aggregate for each group, and ``frame.udfvm.table(f, "a")`` a frame of a table function's
    rows.

    >>> import pandas as pd
    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> udfvm.pandas.register()
    >>> pd.Series([1.0, 4.0]).udfvm.map(half).to_list()
    [0.5, 2.0]
    """
    extensions = _pandas.api.extensions
    if getattr(_pandas.DataFrame, "udfvm", None) is not OfFrame:
        extensions.register_dataframe_accessor("udfvm")(OfFrame)
        extensions.register_series_accessor("udfvm")(_OfSeries)


class _OfSeries:
    """``series.udfvm``."""

    def __init__(self, series: Any) -> None:
        self._series = series

    @hides_frames
    def map(self, function: ScalarFunction, /, *arguments: Any, **keywords: Any) -> Any:
        """Calls a function with the Series as its first argument.

        Args:
            function: a scalar or vectorised function.
            arguments, keywords: the other arguments: Series with the same index, or values.

        Returns:
            A Series with the same index and name.

        Raises what a call of the function raises.
        """
        _check_has_values("series.udfvm.map", function)
        return function(self._series, *arguments, **keywords).rename(self._series.name)


class OfFrame:
    """``frame.udfvm``."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    @hides_frames
    def map(self, function: ScalarFunction, /, *arguments: Any, **keywords: Any) -> Any:
        """Calls a function with columns of the frame.

        Args:
            function: a scalar or vectorised function.
            arguments, keywords: for each parameter a text, which is the label of a column; a Series
                with the index of the frame; or a value. None at all: columns with the parameters'
                names; a parameter without a column has its default.

        Returns:
            A Series with the frame's index and the function's name.

        Raises:
            SignatureError: the function does not have a value for each row.
            TypeMappingError: the frame has no such column, or the arguments do not fit.
            CallError: the call failed.
        """
        _check_has_values("frame.udfvm.map", function)
        given = self.given(function, arguments, keywords)
        if any(isinstance(each, (_pandas.Series, _pandas.DataFrame)) for each in given):
            made = function(*given)
        else:
            results = results_of_values(function, given, len(self._frame))
            made = series_of(function.name, results, Backend.NUMPY)
            made.index = self._frame.index
        return made.rename(function.name)

    @hides_frames
    def aggregate(
        self,
        function: AggregateFunction,
        /,
        *arguments: Any,
        by: Any = None,
        sort: bool = True,
        dropna: bool = True,
        **keywords: Any,
    ) -> Any:
        """Calls an aggregate with columns of the frame: with all rows, or with those of each group,
        which are a call.

        Args:
            function: the aggregate.
            arguments, keywords: as for ``map``.
            by: what makes the groups, as ``DataFrame.groupby`` takes it: a label, several, or other
                keys. None: all rows are one group.
            sort, dropna: as for ``DataFrame.groupby``.

        Returns:
            Without ``by`` a Python value. With it a Series with the groups' keys as index and the
            function's name.

        Raises:
            SignatureError: the function is no aggregate.
            TypeMappingError: the frame has no such column, ``by`` makes no groups, or the arguments
                do not fit.
            CallError: a call failed; its ``row`` counts in its group.
        """
        check_functions("frame.udfvm.aggregate", [function], None)
        if not isinstance(function, AggregateFunction):
            raise SignatureError(
                f"frame.udfvm.aggregate: {function.name!r} is no aggregate:"
                f" call frame.udfvm.{'table' if function.form == 'table' else 'map'}"
            )
        given = self.given(function, arguments, keywords)
        if by is None:
            return function(*given)
        try:
            groups = self._frame.groupby(by, sort=sort, dropna=dropna, observed=True)
        except (KeyError, ValueError, TypeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise TypeMappingError(
                f"UDF {function.name!r}: by={shown(by)} makes no groups ({reason}); the frame has"
                f" {names_shown(self._frame.columns)}"
            ) from error
        columns, _ = columns_of(
            function.name, function.parameters, given, vectorized=function.vectorized
        )
        values = [value_of_group(function, each) for each in _rows_of_groups(groups, columns)]
        type_ = function.result.type.as_declared
        dtypes = [each.dtype for each in given if isinstance(each, _pandas.Series)]
        backend = backend_of(dtypes[0]) if dtypes else Backend.NUMPY
        whole = pa.concat_arrays(values) if values else pa.array([], type_)
        made = series_of(function.name, whole, backend)
        made.index, made.name = groups.size().index, function.name
        return made

    @hides_frames
    def table(self, function: TableFunction, /, *columns: str, keep: Sequence[str] = ()) -> Any:
        """Calls a table function for each row of the frame.

        Args:
            function: the table function.
            columns: the label of a column for each parameter. None: columns with the parameters'
                names.
            keep: labels of columns that the result has, too.

        Returns:
            A frame with the kept columns and those of the function. Its index says which row of
            this frame each of its rows was made for.

        Raises:
            SignatureError: it is no table function.
            TypeMappingError, OptionError: the columns do not fit the parameters.
            CallError: a call failed.
        """
        check_functions("frame.udfvm.table", [function], None)
        if not isinstance(function, TableFunction):
            raise SignatureError(
                f"frame.udfvm.table: {function.name!r} is no table function: call frame.udfvm.map"
            )
        labels, kept = self.labels_of(function, columns, keep)
        names = labels or [
            each.name for each in function.parameters if each.name in self._frame.columns
        ]
        source = self._frame[list(dict.fromkeys(names))].reset_index(drop=True)
        place = "row"
        while place in source.columns or any(each.name == place for each in function.columns):
            place += "_"
        source[place] = range(len(source))
        made = function.map(source, columns=labels or None, keep=[place], progress=False)
        frame = self._frame[kept].take(made[place].to_numpy())
        for each in function.columns:
            column = series_of(function.name, made[each.name].combine_chunks(), Backend.NUMPY)
            frame[each.name] = column.set_axis(frame.index)
        return frame

    def labels_of(
        self, function: TableFunction, columns: Sequence[object], keep: object
    ) -> tuple[list[str], list[str]]:
        """Returns the labels of the columns that a table function is called with, none for those
        with the parameters' names, and of those that its result has, too. Raises TypeMappingError
        and OptionError for labels that the frame does not have, or that do not fit.
        """
        labels = [self._label(function, each) for each in columns]
        kept = list(dict.fromkeys(listed_names(function.name, "keep", keep)))
        self.given(function, labels, {})
        for label in kept:
            if label not in self._frame.columns:
                absent = no_column("the frame", label, self._frame.columns)
                raise TypeMappingError(f"UDF {function.name!r}: keep=: {absent}")
        doubled = next((each.name for each in function.columns if each.name in kept), None)
        if doubled is not None:
            raise OptionError(
                f"UDF {function.name!r}: keep= names {doubled!r}, and the function has a column of"
                " that name, too: leave it out by keep=, or rename the frame's"
            )
        return labels, kept

    def given(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Returns an argument for each parameter: columns of the frame for their labels. Raises
        TypeMappingError.
        """
        labels = self._frame.columns
        if not arguments and not keywords:
            names = [each.name for each in function.parameters]
            defaults = defaults_of(function)
            for name in names:
                if name not in labels and name not in defaults and not name.startswith("*"):
                    absent = no_column("the frame", name, labels)
                    raise TypeMappingError(
                        f"UDF {function.name!r}: {absent}; pass labels of columns"
                    )
            keywords = {name: name for name in names if name in labels}
        places = [self.column(function, each) for each in arguments]
        named = {name: self.column(function, each) for name, each in keywords.items()}
        return bound_arguments(function, places, named)

    def column(self, function: Function, argument: Any) -> Any:
        """Returns the column for a label; other arguments as they are. Raises TypeMappingError."""
        if not isinstance(argument, str):
            return argument
        labels = self._frame.columns
        if argument not in labels:
            absent = no_column("the frame", argument, labels)
            raise TypeMappingError(f"UDF {function.name!r}: {absent}")
        found = self._frame[argument]
        if isinstance(found, _pandas.DataFrame) and found.shape[1] != 1:
            raise TypeMappingError(
                f"UDF {function.name!r}: the frame has {found.shape[1]} columns {argument!r}: give"
                " them names of their own, or pass one, such as frame.iloc[:, 0]"
            )
        return found

    def _label(self, function: Function, given: object) -> str:
        """Returns the label of a column that a table function is called with. Raises
        TypeMappingError for what is none.
        """
        if isinstance(given, str):
            return given
        raise TypeMappingError(
            f"UDF {function.name!r}: frame.udfvm.table takes labels of columns, which are text; got"
            f" {shown(given)}: call it with a frame that has such a column, as frame.assign(...)"
            " makes it"
        )


def _check_has_values(caller: str, function: Function) -> None:
    """Raises SignatureError for what does not have a value for each row."""
    check_functions(caller, [function], None)
    if not isinstance(function, ScalarFunction):
        kind = "a table function" if function.form == "table" else "an aggregate"
        raise SignatureError(
            f"{caller}: {function.name!r} is {kind}, which has no value for each row: call"
            f" frame.udfvm.{function.form}"
        )


def _rows_of_groups(groups: Any, columns: Sequence[Any]) -> Iterator[list[Any]]:
    """Returns the rows of each group, in the order of the groups."""
    numbers = groups.ngroup().fillna(-1)  # of no group
    order = numbers.to_numpy().argsort(kind="stable")
    sizes = [int(size) for size in groups.size()]
    ordered = [column.take(pa.array(order)) for column in columns]
    start = len(order) - sum(sizes)
    for size in sizes:
        yield [column.slice(start, size) for column in ordered]
        start += size
