"""The table of types in reference.md, made from the code: ``python docs/type_table.py`` writes it.

A test compares the page with it.
"""

from __future__ import annotations

import datetime
import decimal
import re
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

import pyarrow as pa

from udfvm.types.annotations import annotation_of
from udfvm.types.arrow_types import Kind, RowType, Type

PAGE: Final = Path(__file__).with_name("reference.md")
HEAD: Final = (
    "| annotation | Arrow | SQL in | SQL out | in a vectorised function |\n"
    "| --- | --- | --- | --- | --- |\n"
)
CLASSES: Final = (
    *(bool, int, float, str, bytes),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
    *(pa.MonthDayNano, decimal.Decimal),
)


class Record(TypedDict):
    field: int


class Row(NamedTuple):
    """A row of the table: an annotation, how the page spells it and its type, and the type."""

    annotation: str
    name: str
    type: Type


UNITS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
SQL_IN: Final = {
    RowType.BOOL: "INTEGER 0 or 1",
    RowType.INT64: "INTEGER",
    RowType.FLOAT64: "REAL, INTEGER",
    RowType.TEXT: "TEXT",
    RowType.BLOB: "BLOB",
}
SQL_OUT: Final = {
    **SQL_IN,
    RowType.BOOL: "INTEGER",
    RowType.FLOAT64: "REAL (NaN: NULL)",
}


def form_in_sql(type_: Type) -> str:
    """Returns what values are in SQL beside their type there, after a comma."""
    if type_.is_nested:
        return ", JSON"
    return {
        Kind.DATE: ", days since 1970",
        Kind.DATETIME: f", {UNITS.get(type_.unit or '')} since 1970",
        Kind.DURATION: f", {UNITS.get(type_.unit or '')}",
        Kind.TIME: ", ISO 8601",
        Kind.INTERVAL: ", ISO 8601",
        Kind.TEXT: " (valid UTF-8)",
    }.get(type_.kind, "")


def in_vectorized(type_: Type) -> str:
    """Returns what a vectorised function gets for a column: an array of Arrow or numpy."""
    empty = pa.array([], type_.arrow)
    dtype = f"numpy `{empty.to_numpy(zero_copy_only=False).dtype}`"
    shows_class = type_.is_nested or type_.kind is Kind.BOOL
    return f"`pa.{type(empty).__name__}`, {dtype}" if shows_class else dtype


def rows() -> list[Row]:
    """Returns a row for each kind of type that has values."""
    flat = [type_of(each) for each in CLASSES]
    return [
        *(Row(f"`{each.kind.value}`", each.name.split("[day]")[0], each) for each in flat),
        Row("`list[T]`", "list<item: T>", type_of(list[int])),
        Row("`dict[K, V]`", "map<K, V>", type_of(dict[str, int])),
        Row("a `TypedDict`, dataclass or `NamedTuple`", "struct<…>", type_of(Record)),
    ]


def type_of(annotation: object) -> Type:
    """Returns what an annotation stands for."""
    type_ = annotation_of(annotation).type
    assert type_ is not None
    return type_


def line(row: Row) -> str:
    """Returns a row in Markdown."""
    assert row.type.row is not None
    form = form_in_sql(row.type)
    cells = (
        row.annotation,
        f"`{row.name}`",
        SQL_IN[row.type.row] + form,
        SQL_OUT[row.type.row] + (form if row.type.is_nested else ""),
        in_vectorized(row.type),
    )
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    """Returns the table in Markdown."""
    return HEAD + "".join(map(line, rows()))


def written() -> str:
    """Returns the page with the table of now."""
    pattern = re.escape(HEAD) + r"(?:\|.*\n)+"
    page, count = re.subn(pattern, lambda _: table(), PAGE.read_text())
    assert count == 1, "the page has one table of types"
    return page


if __name__ == "__main__":
    PAGE.write_text(written())
