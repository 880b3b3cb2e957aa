"""Rows of table functions as their columns were declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from udfvm.errors import TypeMappingError
from udfvm.static_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class _Column(Protocol):
    """A column that a table function makes."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> Any: ...


def declared_parts(
    function: str, columns: Sequence[_Column], made: Sequence[pa.Array], first_row: int
) -> Iterator[list[pa.Array]]:
    """Yields the columns of some rows as their types were declared, which says where there are no
    nulls: in as many parts as it takes, where indices and run ends are narrow.

    ``first_row`` is the index of the first among all rows. Raises TypeMappingError.
    """
    rows, part = len(made[0]), list[Any]()
    for column, values in zip(columns, made, strict=True):
        try:
            part.append(_as_declared(function, column, values))
        except TypeMappingError as error:
            if error.row is None and rows > 1:
                break
            raise _of_column(function, column, error, first_row) from None
    else:
        yield part
        return
    half = rows // 2
    for start, end in ((0, half), (half, rows)):
        those = [values.slice(start, end - start) for values in made]
        yield from declared_parts(function, columns, those, first_row + start)


def _as_declared(function: str, column: _Column, values: pa.Array) -> pa.Array:
    if column.type.exact is None:
        return values
    from udfvm.codec.containers import as_declared

    return as_declared(function, column.type, [values])[0]


def _of_column(
    function: str, column: _Column, error: TypeMappingError, first_row: int
) -> TypeMappingError:
    where = f" from row {first_row} on" if error.row is None else ""
    at = "" if error.row is None else f", row {first_row + error.row}"
    return TypeMappingError(f"UDF {function!r}{at}: column {column.name!r}{where} {error.reason}")
