"""The schema that a client sends before its batches (Schema.fbs of Apache Arrow).

Dictionaries and runs, in which a few bytes may stand for gigabytes, are refused. So are views, but
for columns of text and bytes, as engines send them. Extension types are read as what they are
stored as.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from udfvm.codec.flatbuffers import Table
from udfvm.codec.messages import SCHEMA

_MAX_FIELDS: Final = 4096  # of a schema, in all depths
_MAX_DEPTH: Final = 32
_MAX_WIDTH: Final = 1 << 24  # bytes of a value, or items of a list of fixed size

_UNITS: Final = ("s", "ms", "us", "ns")
_DECIMALS: Final = {32: pa.decimal32, 64: pa.decimal64, 128: pa.decimal128, 256: pa.decimal256}


def schema_types(metadata: bytes) -> list[pa.DataType]:
    """Returns the types of the columns in a schema message.

    Raises ValueError or struct.error for another message, and for types that are refused.
    """
    message = Table.root(metadata)
    if message.byte(1) != SCHEMA:
        raise ValueError("its first message is not a schema")
    schema = message.table(2)
    if schema.short(0):
        raise ValueError("its numbers are big-endian")
    reader = _Reader()
    return [reader.field(each, 0).type for each in schema.tables(1)]


class _Reader:
    """Reads the fields of one schema: their tables may refer to each other, so it counts them."""

    def __init__(self) -> None:
        self._count = 0

    def field(self, table: Table, depth: int) -> pa.Field:
        self._count += 1
        if self._count > _MAX_FIELDS:
            raise ValueError(f"its schema has more than {_MAX_FIELDS} fields")
        if depth > _MAX_DEPTH:
            raise ValueError(f"its schema is nested deeper than {_MAX_DEPTH}")
        if table.has(4):
            raise ValueError("a column of it is encoded by a dictionary: send its values")
        children = [self.field(each, depth + 1) for each in table.tables(5)]
        code = table.byte(2)
        if code not in _TYPES or (code in _VIEWS and depth):
            encoding = _ENCODINGS.get(code, f"of an unknown type ({code})")
            raise ValueError(f"a column of it is {encoding}: send its values")
        made = _TYPES[code](table.table(3), children)
        return pa.field(table.text(0), made, nullable=bool(table.byte(1)))


def _integer(table: Table, _: list[pa.Field]) -> pa.DataType:
    prefix = "" if table.byte(1) else "u"
    return pa.type_for_alias(f"{prefix}int{_chosen(table.integer(0), (8, 16, 32, 64))}")


def _float(table: Table, _: list[pa.Field]) -> pa.DataType:
    return (pa.float16(), pa.float32(), pa.float64())[_chosen(table.short(0), range(3))]


def _decimal(table: Table, _: list[pa.Field]) -> pa.DataType:
    make = _DECIMALS[_chosen(table.integer(2, 128), _DECIMALS)]
    return make(table.integer(0), table.integer(1))


def _date(table: Table, _: list[pa.Field]) -> pa.DataType:
    return pa.date64() if table.short(0, 1) else pa.date32()


def _time(table: Table, _: list[pa.Field]) -> pa.DataType:
    unit = _unit(table, 1)
    wide = unit in ("us", "ns")
    if table.integer(1, 32) != (64 if wide else 32):
        raise ValueError("a time of it has a width that its unit has not")
    return pa.time64(unit) if wide else pa.time32(unit)


def _timestamp(table: Table, _: list[pa.Field]) -> pa.DataType:
    return pa.timestamp(_unit(table, 0), table.text(1) or None)


def _interval(table: Table, _: list[pa.Field]) -> pa.DataType:
    if table.short(0) != 2:
        raise ValueError("an interval of it is not of months, days and nanoseconds")
    return pa.month_day_nano_interval()


def _fixed_binary(table: Table, _: list[pa.Field]) -> pa.DataType:
    return pa.binary(_within(table.integer(0), _MAX_WIDTH))


def _fixed_list(table: Table, children: list[pa.Field]) -> pa.DataType:
    return pa.list_(_only(children), _within(table.integer(0), _MAX_WIDTH))


def _map(table: Table, children: list[pa.Field]) -> pa.DataType:
    entries = _only(children).type
    if not pa.types.is_struct(entries) or entries.num_fields != 2:
        raise ValueError("a map of it has no entries of a key and a value")
    key, value = entries.field(0), entries.field(1)
    return pa.map_(key.with_nullable(False), value, keys_sorted=bool(table.byte(0)))


def _union(table: Table, children: list[pa.Field]) -> pa.DataType:
    if not children:  # Arrow crashes as it makes a column of such a type
        raise ValueError("a union of it has no fields")
    codes = list(table.integers(1)) or list(range(len(children)))
    distinct = len(set(codes)) == len(codes) == len(children)
    if not distinct or not all(0 <= each < 128 for each in codes):
        raise ValueError("a union of it has other codes than fields")
    return pa.union(children, "dense" if table.short(0) else "sparse", codes)


def _unit(table: Table, default: int) -> str:
    return _UNITS[_chosen(table.short(0, default), range(len(_UNITS)))]


def _chosen(value: int, choices: object) -> int:
    if value not in choices:  # type: ignore[operator]
        raise ValueError("a type in its schema does not exist")
    return value


def _within(value: int, maximum: int) -> int:
    if not 0 <= value <= maximum:
        raise ValueError("a width in its schema is out of bounds")
    return value


def _only(children: list[pa.Field]) -> pa.Field:
    if len(children) != 1:
        raise ValueError("a list in its schema has not one type of items")
    return children[0]


_Maker = Callable[[Table, list[pa.Field]], pa.DataType]
_TYPES: Final[dict[int, _Maker]] = {
    1: lambda _, __: pa.null(),
    2: _integer,
    3: _float,
    4: lambda _, __: pa.binary(),
    5: lambda _, __: pa.string(),
    6: lambda _, __: pa.bool_(),
    7: _decimal,
    8: _date,
    9: _time,
    10: _timestamp,
    11: _interval,
    12: lambda _, children: pa.list_(_only(children)),
    13: lambda _, children: pa.struct(children),
    14: _union,
    15: _fixed_binary,
    16: _fixed_list,
    17: _map,
    18: lambda table, _: pa.duration(_unit(table, 1)),
    19: lambda _, __: pa.large_binary(),
    20: lambda _, __: pa.large_string(),
    21: lambda _, children: pa.large_list(_only(children)),
    23: lambda _, __: pa.binary_view(),
    24: lambda _, __: pa.string_view(),
}
_VIEWS: Final = (23, 24)
_ENCODINGS: Final = {
    22: "encoded by runs",
    23: "of views of bytes in a list or struct",
    24: "of views of text in a list or struct",
    25: "of views of lists",
    26: "of views of lists",
}
