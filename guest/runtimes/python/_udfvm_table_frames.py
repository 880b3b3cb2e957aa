"""Whole tables that table functions yield among rows: batches of Arrow, DataFrames, anything with
Arrow's PyCapsule interface, columns by name, and the column of a function that has one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from _udfvm_nested import take_apart
from _udfvm_table_rows import placed
from _udfvm_texts import counted

if TYPE_CHECKING:
    import pyarrow as pa

_CAPSULES: Final = ("__arrow_c_stream__", "__arrow_c_array__")
# Classes of columns, by the modules that have them. One that an object is of is loaded.
_COLUMNS: Final = (
    ("numpy", ("ndarray",)),
    ("pyarrow", ("Array", "ChunkedArray")),
    ("pandas", ("Series", "Index")),
    ("polars", ("Series",)),
)
_NEVER: Final = frozenset({tuple, list, str, bytes, int, float, bool, type(None)})


class _Table(NamedTuple):
    """Columns that were yielded together. ``has_names`` is False if their names may say nothing."""

    names: list[str]
    columns: list[Any]
    has_names: bool = False


class Frames:
    """Recognises and reads the tables among what a function yields that has columns of these names
    and types. ``schema`` is the message of their schema.
    """

    def __init__(self, names: Sequence[str], types: Sequence[str], schema: bytes) -> None:
        self._names = list(names)
        # Of flat types: lists and arrays are never values of them.
        self._flat = {
            name for name, type_ in zip(names, types, strict=True) if not take_apart(type_)
        }
        self._takes_columns = len(names) == 1 and bool(self._flat)
        self._schema = schema
        self._never = set(_NEVER)  # classes that are not of tables

    def any(self, items: Iterable[Any]) -> bool:
        """Returns True if a table is among the items."""
        classes = set(map(type, items)) - self._never
        if not classes:
            return False
        self._never.update(class_ for class_ in classes if not self._may_be(class_))
        return any(map(self.has, items))

    def has(self, item: Any) -> bool:
        """Returns True if an item is a table, and not a row."""
        class_ = type(item)
        if class_ in self._never or not self._may_be(class_):
            return False
        return self._is_of_columns(item) if issubclass(class_, Mapping) else True

    def items_of(self, result: Any) -> Iterable[Any]:
        """Returns what a function yields, or returned: rows and tables. Raises TypeError."""
        if result is None:
            return ()
        if self.has(result):
            return self._tables_in(result)
        if not isinstance(result, Iterable) or isinstance(result, (str, bytes, Mapping)):
            raise TypeError(
                f"the function returned {type(result).__name__}: a table function yields rows, or"
                " returns a list of them"
            )
        return result

    def rows(self, item: Any) -> Iterable[tuple[Any, ...]] | None:
        """Returns the rows of a table that is lists by name, which needs no pyarrow; None for
        others. Raises TypeError.
        """
        if not isinstance(item, Mapping) or not all(
            _is_collection(value) for value in item.values()
        ):
            return None
        columns = self._in_order(_Table(list(item), list(item.values()), has_names=True))
        for name, column in zip(self._names, columns, strict=True):
            if len(column) != len(columns[0]):
                lengths = counted(len(column), "value"), counted(len(columns[0]), "row")
                raise TypeError(f"column {name!r} of a batch has {lengths[0]} for {lengths[1]}")
        return zip(*columns, strict=True)

    def batch(self, item: Any) -> pa.RecordBatch:
        """Returns a table as the declared columns, in their order. Raises TypeError, ValueError or
        OverflowError, which say what column is wrong.
        """
        import pyarrow as pa
        from _udfvm_returned import column_of_values, returned_column

        columns = self._in_order(self._read(item))
        declared = pa.ipc.read_schema(pa.py_buffer(self._schema)).types
        arrays: list[pa.Array] = []
        for column, type_, name in zip(columns, declared, self._names, strict=True):
            try:
                if isinstance(column, (list, tuple)):
                    column = column_of_values(list(column), type_)  # noqa: PLW2901 - the same, as an array
                arrays.append(returned_column(column, type_, len(columns[0])))
            except (TypeError, ValueError, OverflowError) as error:
                raise placed(error, f"column {name!r} of a batch")  # noqa: B904 - it has the cause
        return pa.RecordBatch.from_arrays(
            arrays, names=[str(index) for index in range(len(arrays))]
        )

    def _tables_in(self, result: Any) -> Iterable[Any]:
        """Returns the tables in one that a function returned: those of a stream as they come."""
        class_ = type(result)
        if _is_column(class_) or _is_of_pandas(class_) or not hasattr(class_, _CAPSULES[0]):
            return (result,)
        import pyarrow as pa

        try:
            return pa.RecordBatchReader.from_stream(result)
        except pa.ArrowInvalid:
            if self._takes_columns:  # a stream of the only column
                return (result,)
            raise

    def _may_be(self, class_: type[Any]) -> bool:
        """Whether an instance of a class may be a table."""
        if _is_column(class_):
            return self._takes_columns
        return issubclass(class_, Mapping) or _is_frame(class_)

    def _is_of_columns(self, item: Mapping[Any, Any]) -> bool:
        """Whether a mapping has columns by name, and not the values of one row."""
        return not self._flat.isdisjoint(item) and all(
            _is_collection(value) or _is_column(type(value)) for value in item.values()
        )

    def _read(self, item: Any) -> _Table:
        """Returns the columns of a table as it has them."""
        import pyarrow as pa
        from _udfvm_nested_conversions import table_of_structs
        from _udfvm_series import from_capsules

        if isinstance(item, Mapping):
            return _Table(list(item), list(item.values()), has_names=True)
        if _is_column(type(item)):
            return _Table(self._names, [item])
        if _is_of_pandas(type(item)):
            names = [str(name) for name in item.columns]
            return _Table(names, [item.iloc[:, index] for index in range(len(names))])
        if isinstance(item, (pa.RecordBatch, pa.Table)):
            return _Table(item.schema.names, item.columns)
        found = from_capsules(item)
        if not pa.types.is_struct(found.type):
            return _Table(self._names if self._takes_columns else [str(found.type)], [found])
        table = table_of_structs(pa.chunked_array(getattr(found, "chunks", [found]), found.type))
        return _Table(table.schema.names, table.columns)

    def _in_order(self, found: _Table) -> list[Any]:
        """Returns columns in the order of the declared ones. Raises TypeError."""
        declared = self._names
        if len(found.names) != len(declared):
            raise TypeError(
                f"the function yielded a batch of {counted(len(found.names), 'column')}"
                f" ({', '.join(map(str, found.names))}), but has {len(declared)}"
                f" ({', '.join(declared)})"
            )
        if not found.has_names and set(declared).isdisjoint(found.names):
            return found.columns
        missing = next((name for name in declared if name not in found.names), None)
        if missing is not None:
            raise TypeError(
                f"the function yielded a batch without a column {missing!r}; it has"
                f" {', '.join(map(str, found.names))}"
            )
        return [found.columns[found.names.index(name)] for name in declared]


def _is_collection(value: object) -> bool:
    """Whether a value holds those of a column. An interval is a tuple, and a value."""
    return isinstance(value, (list, tuple)) and type(value).__name__ != "MonthDayNano"


def _is_column(class_: type[Any]) -> bool:
    """Whether instances of a class are single columns."""
    for module, names in _COLUMNS:
        loaded: Any = sys.modules.get(module)
        if loaded is not None and any(
            issubclass(class_, getattr(loaded, name, ())) for name in names
        ):
            return True
    return False


def _is_frame(class_: type[Any]) -> bool:
    return _is_of_pandas(class_) or any(hasattr(class_, name) for name in _CAPSULES)


def _is_of_pandas(class_: type[Any]) -> bool:
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and issubclass(class_, getattr(pandas, "DataFrame", ()))
