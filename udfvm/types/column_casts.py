"""Conversions of pyarrow arrays from and to the types of column batches; see ``column_types``.

The build copies this beside it, so it imports nothing else of udfvm, and pyarrow only where arrays
are converted.
"""

from __future__ import annotations

from typing import Any, Final

from udfvm.types.array_conversions import convert
from udfvm.types.temporal import DAY_MILLISECONDS

_INTERMEDIATE: Final = {"date32[day]": "int32"}  # Arrow has no cast between it and int64


def cast_column(column: Any, to: Any) -> Any:
    """Returns a pyarrow array of a declared type as its column type, or the other way round, where
    neither is a list or struct. Raises Loss, or pyarrow.ArrowInvalid, for a value that the type has
    not.
    """
    import pyarrow as pa

    between = _INTERMEDIATE.get(str(to)) or _INTERMEDIATE.get(str(column.type))
    if between is not None and column.type != to:
        column = column.cast(pa.type_for_alias(between))
    if pa.types.is_time(to):
        return _parsed_times(column, to)
    if pa.types.is_interval(to) or pa.types.is_interval(column.type):
        return _converted_intervals(column, to)
    if pa.types.is_decimal(to) or pa.types.is_decimal(column.type):
        return _converted_decimals(column, to)
    if pa.types.is_float16(to) or pa.types.is_float16(column.type):
        return column.cast(to, safe=False)
    is_number = pa.types.is_integer(to) or pa.types.is_floating(to)
    if is_number and not pa.types.is_temporal(column.type):
        return convert(column, to)
    made = column.cast(to)
    return _checked_days(made) if pa.types.is_date64(to) else made


def _checked_days(column: Any) -> Any:
    """The cast takes any integer. The error has the row, as an attribute."""
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        counts = column.view(pa.int64()).to_pylist()
        wrong = (each is not None and each % DAY_MILLISECONDS != 0 for each in counts)
        vars(error)["row"] = next((row for row, found in enumerate(wrong) if found), None)
        raise
    return column


def _converted_decimals(column: Any, to: Any) -> Any:
    """As a decimal of more bits first: pyarrow drops digits where it parses one of few."""
    import pyarrow as pa

    if not pa.types.is_decimal(to):
        return _decimal_texts(column, to)
    decimal = pa.decimal256 if pa.types.is_decimal256(to) else pa.decimal128
    return column.cast(decimal(to.precision, to.scale)).cast(to)


def _parsed_times(column: Any, to: Any) -> Any:
    """As times of the first day of 1970: pyarrow parses timestamps only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    day, separator = (pa.scalar(text, column.type) for text in ("1970-01-01", " "))
    moments = pc.binary_join_element_wise(day, column, separator)
    return moments.cast(pa.timestamp(to.unit)).cast(to)


def _converted_intervals(column: Any, to: Any) -> Any:
    import pyarrow as pa

    from udfvm.types.intervals import interval_from_text, text_from_interval

    convert_one = interval_from_text if pa.types.is_interval(to) else text_from_interval
    values = column.to_pylist()
    return pa.array([None if each is None else convert_one(each) for each in values], to)


def _decimal_texts(column: Any, to: Any) -> Any:
    """pyarrow writes exponents where there are many zeros behind the point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(to)
    if not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    from udfvm.types.decimals import text_from_decimal

    values = column.to_pylist()
    return pa.array([None if each is None else text_from_decimal(each) for each in values], to)
