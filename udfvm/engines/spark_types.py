"""Types of signatures in Spark: their forms in Arrow there, and conversions that Spark does not
make.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.errors import TypeMappingError

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Type

_DECIMAL_DIGITS: Final = 38
_FLAT: Final[dict[str, Any]] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.int16(),
    "uint16": pa.int32(),
    "uint32": pa.int64(),
    "uint64": pa.decimal128(20, 0),
    "halffloat": pa.float32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "large_string": pa.string(),
    "string_view": pa.string(),
    "binary": pa.binary(),
    "large_binary": pa.binary(),
    "binary_view": pa.binary(),
    "date32[day]": pa.date32(),
    "date64[ms]": pa.date32(),
}


def spark_form(type_: Any) -> Any:
    """Returns the type of Arrow in which Spark has values of a type. Raises TypeMappingError if it
    has none for them.

    >>> str(spark_form(pa.list_(pa.timestamp("ns", "Asia/Tokyo"))))
    'list<element: timestamp[us, tz=UTC]>'
    """
    if (flat := _FLAT.get(str(type_))) is not None:
        return flat
    for is_kind, form in _FORMS:
        if is_kind(type_):
            return form(type_)
    raise TypeMappingError(f"Spark has no type {type_}{_instead_of(type_)}")


def _instead_of(type_: Any) -> str:
    if pa.types.is_decimal(type_):
        return f": declare a decimal of at most {_DECIMAL_DIGITS} digits, none before the ones"
    if pa.types.is_interval(type_):
        return ": declare a duration"
    return ""


def _is_decimal(type_: Any) -> bool:
    return bool(
        pa.types.is_decimal(type_)
        and type_.precision <= _DECIMAL_DIGITS
        and 0 <= type_.scale <= type_.precision
    )


def _is_list(type_: Any) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_list(type_)
        or kinds.is_large_list(type_)
        or kinds.is_fixed_size_list(type_)
        or kinds.is_list_view(type_)
        or kinds.is_large_list_view(type_)
    )


def _fields(type_: Any) -> list[Any]:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    if len({each.name for each in fields}) < len(fields):
        raise TypeMappingError(f"Spark has no two fields of one name, as {type_} has")
    return [pa.field(each.name, spark_form(each.type), each.nullable) for each in fields]


def _map(type_: Any) -> Any:
    item = type_.item_field
    value = pa.field("value", spark_form(item.type), item.nullable)
    return pa.map_(pa.field("key", spark_form(type_.key_type), nullable=False), value)


def _list(type_: Any) -> Any:
    item = type_.value_field
    return pa.list_(pa.field("element", spark_form(item.type), item.nullable))


_FORMS: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Any]]]] = (
    (pa.types.is_timestamp, lambda type_: pa.timestamp("us", type_.tz and "UTC")),
    (pa.types.is_time, lambda _: pa.time64("ns")),
    (pa.types.is_duration, lambda _: pa.duration("us")),
    (pa.types.is_fixed_size_binary, lambda _: pa.binary()),
    (_is_decimal, lambda type_: pa.decimal128(type_.precision, type_.scale)),
    (_is_list, _list),
    (pa.types.is_map, _map),
    (pa.types.is_struct, lambda type_: pa.struct(_fields(type_))),
)


# ---- Arguments ----


def argument_converter(type_: Type) -> Callable[[Any], Any] | None:
    """Returns what makes of a column that Spark hands over one that the function takes; None where
    that takes it as it is.
    """
    declared = type_.arrow
    if pa.types.is_floating(declared):
        return lambda column: _cast_if(pa.types.is_decimal, column, declared)
    if "uint64" in str(declared):  # as spark_form has it
        return lambda column: column.cast(declared)
    if pa.types.is_timestamp(declared) and declared.tz is None:
        return _local
    return None


def _cast_if(is_kind: Callable[[Any], bool], column: Any, type_: Any) -> Any:
    return column.cast(type_) if is_kind(column.type) else column


def _local(column: Any) -> Any:
    """The moments of a TIMESTAMP in the time zone of the session, as Spark casts them."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return pc.local_timestamp(column)
    return column
