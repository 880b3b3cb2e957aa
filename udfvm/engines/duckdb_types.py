"""Types of signatures in DuckDB: their names there, and conversions that DuckDB does not make."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.errors import TypeMappingError

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Type

_FLAT: Final = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "halffloat": "FLOAT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "binary_view": "BLOB",
    "date32[day]": "DATE",
    "date64[ms]": "DATE",
    "time32[s]": "TIME",
    "time32[ms]": "TIME",
    "time64[us]": "TIME",
    "time64[ns]": "TIME_NS",
    "timestamp[s]": "TIMESTAMP_S",
    "timestamp[ms]": "TIMESTAMP_MS",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[ns]": "TIMESTAMP_NS",
    "month_day_nano_interval": "INTERVAL",
    "null": '"NULL"',
}
_DECIMAL_DIGITS: Final = 38
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_DAY: Final = 86_400 * 10**9  # nanoseconds
_HALF: Final = (1 << 32) - 1


def quoted(name: str) -> str:
    """Returns a name as SQL text has it.

    >>> quoted('a "b"')
    '"a ""b\"""'
    """
    return '"' + name.replace('"', '""') + '"'


def duckdb_type(type_: Type) -> str:
    """Returns the name of a type in DuckDB. Raises TypeMappingError if DuckDB does not have it.

    >>> from udfvm.types.arrow_types import named
    >>> duckdb_type(named("list<struct<a: int64, b: decimal128(4, 1)>>"))
    'STRUCT("a" BIGINT, "b" DECIMAL(4, 1))[]'
    """
    if _is_uuid(type_):
        return "UUID"
    return _name_of(type_.as_declared_decoded)


def check_names(names: Sequence[str], what: str) -> None:
    """Raises TypeMappingError where DuckDB cannot have these names beside each other: it compares
    letters of ASCII without their case.

    >>> check_names(["a", "A"], "the columns")
    Traceback (most recent call last):
    udfvm.errors.TypeMappingError: DuckDB takes the names 'a' and 'A' of the columns for the same
    """
    found: dict[str, str] = {}
    for name in names:
        if not name:
            raise TypeMappingError(f"DuckDB has no empty names, such as one of {what}")
        key = name.translate(_LOWER)
        if key in found:
            raise TypeMappingError(
                f"DuckDB takes the names {found[key]!r} and {name!r} of {what} for the same"
            )
        found[key] = name


def parameter_type(type_: Type) -> str:
    """Returns the name of a parameter's type in DuckDB. Raises TypeMappingError for one that DuckDB
    does not have, or whose values it cannot hand over.
    """
    if type_.is_nested and "duration[" in type_.name:
        raise TypeMappingError(
            f"DuckDB hands over no durations within a {type_.kind.value}, but intervals: declare"
            " month_day_nano_interval there"
        )
    return duckdb_type(type_)


def _is_uuid(type_: Type) -> bool:
    return isinstance(type_.exact, pa.UuidType)


def _name_of(type_: Any) -> str:
    if (name := _FLAT.get(str(type_))) is not None:
        return name
    kinds = pa.types
    if kinds.is_timestamp(type_):
        return "TIMESTAMPTZ"
    if kinds.is_duration(type_):
        return "INTERVAL"
    if kinds.is_fixed_size_binary(type_):
        return "BLOB"
    if kinds.is_decimal(type_) and type_.precision <= _DECIMAL_DIGITS and type_.scale >= 0:
        return f"DECIMAL({type_.precision}, {type_.scale})"
    return _nested_name(type_)


def _nested_name(type_: Any) -> str:
    kinds = pa.types
    if kinds.is_fixed_size_list(type_) and type_.list_size:
        return f"{_name_of(type_.value_type)}[{type_.list_size}]"
    if _is_list(type_):
        return f"{_name_of(type_.value_type)}[]"
    if kinds.is_map(type_):
        return f"MAP({_name_of(type_.key_type)}, {_name_of(type_.item_type)})"
    if kinds.is_struct(type_) and type_.num_fields:
        return f"STRUCT({_fields(type_)})"
    if kinds.is_union(type_) and type_.mode == "sparse":
        return f"UNION({_fields(type_)})"
    raise TypeMappingError(f"DuckDB has no type {type_}{_instead_of(type_)}")


def _instead_of(type_: Any) -> str:
    if pa.types.is_decimal(type_):
        return f": declare a decimal of at most {_DECIMAL_DIGITS} digits, none before the ones"
    if pa.types.is_union(type_):
        return ": declare a sparse union"
    return ""


def _fields(type_: Any) -> str:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    check_names([field.name for field in fields], f"the fields of {type_}")
    return ", ".join(f"{quoted(field.name)} {_name_of(field.type)}" for field in fields)


def _is_list(type_: Any) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_list(type_)
        or kinds.is_large_list(type_)
        or kinds.is_list_view(type_)
        or kinds.is_large_list_view(type_)
    )


# ---- Arguments ----


def widened(column: Any, type_: Type) -> Any:
    """Returns a column that DuckDB has not cast as it casts numbers: decimals and integers to
    floats.
    """
    kinds = pa.types
    if type_.name in ("float", "double") and (
        kinds.is_decimal(column.type) or kinds.is_integer(column.type)
    ):
        return column.cast(type_.arrow)
    return column


def argument_converter(type_: Type) -> Callable[[Any], Any] | None:
    """Returns what makes of a column that DuckDB hands over one that the function takes; None where
    that takes it as it is.
    """
    if _is_uuid(type_):
        return _uuids
    if pa.types.is_duration(type_.arrow):
        return lambda column: _durations(column, type_.arrow)
    return None


def _uuids(column: Any) -> Any:
    """The bytes of texts such as ``6f1d…-…``."""
    import pyarrow.compute as pc

    whole = in_one_chunk(column)
    digits: Any = pc.replace_substring(pc.fill_null(whole, "0" * 32), "-", "")
    fixed = digits.cast(pa.binary()).cast(pa.binary(32))
    texts = bytes(fixed.buffers()[1])[32 * fixed.offset : 32 * (fixed.offset + len(fixed))]
    values = pa.py_buffer(bytes.fromhex(texts.decode()))
    made = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(whole), [None, values])
    return pc.if_else(whole.is_valid(), made, pa.scalar(None, pa.binary(16)))


def in_one_chunk(column: Any) -> Any:
    """Returns an array with the values of an array or chunked array, for which calls are shorter.

    >>> type(in_one_chunk(pa.chunked_array([[1, 2]])))
    <class 'pyarrow.lib.Int64Array'>
    """
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _durations(column: Any, type_: Any) -> Any:
    """DuckDB's intervals have months, days and microseconds."""
    import pyarrow.compute as pc

    whole = in_one_chunk(column)
    if not pa.types.is_interval(whole.type):
        return column
    words = pa.Array.from_buffers(
        pa.int64(), 2 * (len(whole) + whole.offset), [None, whole.buffers()[1]]
    )
    pairs = pa.FixedSizeListArray.from_arrays(words, 2).slice(whole.offset)
    valid = whole.is_valid()
    first = pc.if_else(valid, pc.list_element(pairs, 0), 0)
    nanoseconds = pc.if_else(valid, pc.list_element(pairs, 1), 0)
    if pc.any(pc.not_equal(pc.bit_wise_and(first, _HALF), 0)).as_py():
        raise TypeMappingError(
            "an interval has months, whose length differs: a duration has none. Subtract timestamps"
            " instead, or declare pyarrow.month_day_nano_interval()"
        )
    days = pc.shift_right(first, 32)
    # Sums of microseconds, which reach further than those of nanoseconds.
    micros = pc.add_checked(pc.multiply_checked(days, _DAY // 1000), pc.divide(nanoseconds, 1000))
    found = pc.if_else(valid, micros, pa.scalar(None, pa.int64()))
    return found.cast(pa.duration("us"))


# ---- Results ----


def result_type(type_: Type) -> Any:
    """Returns the pyarrow type that DuckDB reads in the place of a result's."""
    return type_.exact if _is_uuid(type_) else _readable(type_.as_declared_decoded)


def _readable(type_: Any) -> Any:
    for is_kind, make in _READABLE:
        if is_kind(type_):
            return make(type_)
    return type_


def _field(field: Any) -> Any:
    return field.with_type(_readable(field.type))


def _zoned(type_: Any) -> Any:
    is_fine = type_.tz is not None and type_.unit == "ns"
    return pa.timestamp("us", type_.tz) if is_fine else type_


# DuckDB has neither halves nor wide decimals, and drops nanoseconds of these.
_READABLE: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Any]]]] = (
    (pa.types.is_float16, lambda type_: pa.float32()),
    (pa.types.is_decimal, lambda type_: pa.decimal128(type_.precision, type_.scale)),
    (pa.types.is_duration, lambda type_: pa.duration("us") if type_.unit == "ns" else type_),
    (pa.types.is_timestamp, _zoned),
    (
        pa.types.is_map,
        lambda type_: pa.map_(_readable(type_.key_type), _field(type_.item_field)),
    ),
    (
        pa.types.is_fixed_size_list,
        lambda type_: pa.list_(_field(type_.value_field), type_.list_size),
    ),
    (
        pa.types.is_struct,
        lambda type_: pa.struct([_field(type_.field(n)) for n in range(type_.num_fields)]),
    ),
    (pa.types.is_list, lambda type_: pa.list_(_field(type_.value_field))),
    (pa.types.is_large_list, lambda type_: pa.large_list(_field(type_.value_field))),
    (pa.types.is_list_view, lambda type_: pa.list_view(_field(type_.value_field))),
    (pa.types.is_large_list_view, lambda type_: pa.large_list_view(_field(type_.value_field))),
)
