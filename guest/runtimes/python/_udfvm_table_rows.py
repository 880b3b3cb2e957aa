"""Rows as functions yield them: tuples, lists, mappings, or values of a single column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Rows:
    """What reads the rows of a function with columns of these names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def columns_of(self, items: list[Any]) -> list[list[Any]]:
        """Returns the columns of some rows. Raises TypeError."""
        classes = set(map(type, items))
        if all(issubclass(class_, (tuple, list)) for class_ in classes) and set(
            map(len, items)
        ) == {len(self._names)}:
            return [list(column) for column in zip(*items, strict=True)]
        if len(self._names) == 1 and not any(
            issubclass(class_, (tuple, list, Mapping)) for class_ in classes
        ):
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

    def _row(self, item: Any) -> tuple[Any, ...]:
        width = len(self._names)
        if isinstance(item, (tuple, list)):
            row = tuple(item)
        elif isinstance(item, Mapping):
            unknown = [name for name in item if name not in self._names]
            if unknown:
                raise TypeError(
                    f"the function yielded a value for {unknown[0]!r}, which is not a column: the"
                    f" columns are {', '.join(self._names)}"
                )
            row = tuple(item.get(name) for name in self._names)
        elif width == 1:
            row = (item,)
        else:
            raise TypeError(
                f"the function yielded {type(item).__name__}: yield a tuple with the columns"
                f" {', '.join(self._names)}"
            )
        if len(row) != width:
            raise TypeError(
                f"the function yielded a row of {len(row)} values, but has {width} columns:"
                f" {', '.join(self._names)}"
            )
        return row


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
    made = class_(f"{place}: {exception}").with_traceback(exception.__traceback__)
    made.__cause__, made.__suppress_context__ = exception.__cause__, True
    return made
