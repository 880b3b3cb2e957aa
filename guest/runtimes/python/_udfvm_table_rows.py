"""Rows as functions yield them: tuples, lists, mappings, or values of a single column."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from _udfvm_intervals import is_interval
from _udfvm_nested import take_apart
from _udfvm_texts import counted


class Rows:
    """What reads the rows of a function with columns of these names and types."""

    def __init__(self, names: Sequence[str], types: Sequence[str]) -> None:
        self._names = names
        self._is_value: Callable[[Any], bool] = _no_value
        if len(names) == 1:
            self._is_value = _value_test(names[0], types[0])

    def columns_of(self, items: list[Any]) -> list[list[Any]]:
        """Returns the columns of some rows. Raises TypeError."""
        classes = set(map(type, items))
        if all(map(self._is_row, classes)) and set(map(len, items)) == {len(self._names)}:
            return [list(column) for column in zip(*items, strict=True)]
        if len(self._names) == 1 and not any(map(_may_be_row, classes)):
            return [items]
        return [list(column) for column in zip(*map(self._row, items), strict=True)]

    def good(self, items: list[Any]) -> int:
        """Returns the number of items before the first one that is not a row."""
        for index, item in enumerate(items):
            try:
                self._row(item)
            except BaseException:  # noqa: BLE001 - code of the user's classes runs
                return index
        return len(items)

    def _is_row(self, class_: type[Any]) -> bool:
        """Returns True if instances of a class are rows, whatever is in them."""
        if not _may_be_row(class_) or not issubclass(class_, (tuple, list)):
            return False
        return self._is_value is _no_value or not hasattr(class_, "_fields")

    def _row(self, item: Any) -> tuple[Any, ...]:
        width = len(self._names)
        if self._is_value(item):
            row: tuple[Any, ...] = (item,)
        elif isinstance(item, (tuple, list)) and not is_interval(item):
            row = tuple(item)
        elif isinstance(item, Mapping):
            unknown = [name for name in item if name not in self._names]
            if unknown:
                raise TypeError(
                    f"the function yielded a value for {unknown[0]!r}, which is not a column; it"
                    f" has {self._columns()}"
                )
            row = tuple(item.get(name) for name in self._names)
        elif (fields := _dataclass_fields(type(item))) is not None:
            row = self._instance(item, fields)
        elif width == 1:
            row = (item,)
        else:
            raise TypeError(
                f"the function yielded {type(item).__name__}: yield a tuple with {self._columns()}"
            )
        if len(row) != width:
            advice = "; yield (value,) where the value is a list or tuple" if width == 1 else ""
            raise TypeError(
                f"the function yielded a row of {counted(len(row), 'value')}, but has"
                f" {self._columns()}{advice}"
            )
        return row

    def _instance(self, item: Any, fields: list[str]) -> tuple[Any, ...]:
        """Returns the row that an instance of a dataclass is."""
        if set(fields) != set(self._names):
            raise TypeError(
                f"the function yielded {type(item).__name__}, whose fields are"
                f" {', '.join(fields)}; it has {self._columns()}"
            )
        return tuple(getattr(item, name) for name in self._names)

    def _columns(self) -> str:
        count = f"{len(self._names)} columns" if len(self._names) > 1 else "one column"
        return f"{count}: {', '.join(self._names)}"


def _may_be_row(class_: type[Any]) -> bool:
    """Whether instances of a class may be rows. An interval is a tuple, and never one."""
    if _dataclass_fields(class_) is not None:
        return True
    return issubclass(class_, (tuple, list, Mapping)) and class_.__name__ != "MonthDayNano"


def _dataclass_fields(class_: Any) -> list[str] | None:
    """Returns the fields of a dataclass; None for other classes."""
    if not hasattr(class_, "__dataclass_fields__"):
        return None
    return [field.name for field in sys.modules["dataclasses"].fields(class_) if field.init]


def _no_value(item: object) -> bool:
    return False


def _value_test(column: str, type_: str) -> Callable[[Any], bool]:
    """Returns what says whether a mapping or named tuple is a value of the only column, rather than
    a row.
    """
    nested = take_apart(type_)
    if nested is not None and nested.container == "map":
        return lambda item: isinstance(item, Mapping)  # it may have any keys
    if nested is None or nested.container != "struct":
        return _no_value
    fields = {field.name for field in nested.fields}

    def is_value(item: Any) -> bool:
        names = item if isinstance(item, Mapping) else _dataclass_fields(type(item))
        if isinstance(item, tuple):
            names = getattr(item, "_fields", None)
        return names is not None and (column in fields or list(names) != [column])

    return is_value


def size_of(value: Any) -> int:
    """Returns about how many bytes a value of variable size has, with all that it holds."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return int(getattr(value, "nbytes", 8))
    return sum(map(size_of, value))


def placed(exception: BaseException, place: str) -> BaseException:
    """Returns an exception about a value that says where that is; others as they are."""
    class_ = type(exception)
    if class_ not in (TypeError, ValueError, OverflowError):
        return exception
    known = vars(exception)
    reason = exception if "places" in known else known.get("reason", exception)
    made = class_(f"{place}: {reason}").with_traceback(exception.__traceback__)
    made.__cause__, made.__suppress_context__ = exception.__cause__, True
    return made
