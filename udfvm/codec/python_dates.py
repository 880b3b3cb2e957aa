"""Columns for scalar functions, which take dates and times as Python has them: in the years 1 to
9999, in whole microseconds.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from udfvm.codec.argument_errors import argument_error
from udfvm.codec.time_codecs import WHOLE_MICROSECONDS
from udfvm.tuples import NamedTuple
from udfvm.types.nested import KEY, VALUE
from udfvm.types.nested_conversions import columns_of, map_as_lists
from udfvm.types.temporal import DAY_MILLISECONDS, EPOCH, MICROSECONDS, time_zone
from udfvm.types.unions import flattened, parts_of

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter

_FIRST_DAY, _LAST_DAY = (datetime.datetime.min - EPOCH).days, (datetime.datetime.max - EPOCH).days
_MAX_DURATION_DAYS: Final = 10**9 - 1
_DAY_MICROSECONDS: Final = 1000 * DAY_MILLISECONDS
_UNITS_A_DAY: Final = {
    "day": 1,
    **{unit: _DAY_MICROSECONDS // length for unit, length in MICROSECONDS.items()},
}
_BEYOND: Final = "dates and times in Python, which scalar functions take, have the years 1 to 9999"


class _Fault(NamedTuple):
    """The first row that holds a value that Python has not, and what is the matter with it."""

    row: int
    reason: str


def check_python_dates(
    function: str, parameter: Parameter, column: pa.Array | pa.ChunkedArray
) -> None:
    """Raises TypeMappingError for dates and times, in lists and structs too, that Python has not:
    those of other years than 1 to 9999, those with nanoseconds.
    """
    if not any(word in parameter.type.name for word in ("date", "time", "duration")):
        return
    start = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        fault = _first_fault(chunk)
        if fault is not None:
            reason = f"{'holds' if parameter.type.is_nested else 'is'} {fault.reason}"
            raise argument_error(function, parameter, reason, start + fault.row)
        start += len(chunk)


def _first_fault(array: pa.Array) -> _Fault | None:
    type_ = array.type
    if pa.types.is_struct(type_) or pa.types.is_union(type_):
        return min(_faults_in_fields(array), default=None)
    if pa.types.is_map(type_):
        return _fault_in_lists(map_as_lists(array, KEY, VALUE))
    if type_.num_fields:
        return _fault_in_lists(array)
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return _fault_in_times(array)
    if pa.types.is_duration(type_) or type_ == pa.time64("ns"):
        return _fault_in_durations(array)
    return None


def _faults_in_fields(array: pa.Array) -> Iterator[_Fault]:
    """The first fault in each field of structs or unions."""
    if pa.types.is_struct(array.type):
        yield from filter(None, map(_first_fault, columns_of(array)))
        return
    for rows, values in parts_of(array):
        fault = _first_fault(values)
        if fault is not None:
            yield fault._replace(row=rows[fault.row].as_py())


def _fault_in_lists(array: pa.Array) -> _Fault | None:
    import pyarrow.compute as pc

    fault = _first_fault(flattened(array))
    if fault is None:
        return None
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0))
    return _Fault(pc.sum(pc.less_equal(ends, fault.row)).as_py(), fault.reason)


def _fault_in_times(array: pa.Array) -> _Fault | None:
    import pyarrow.compute as pc

    unit = _unit_of(array.type)
    stored = array.view(pa.int32() if unit == "day" else pa.int64())
    reason = _BEYOND
    if unit == "ns":
        reason = WHOLE_MICROSECONDS
        whole = pc.multiply(pc.divide(stored, 1000), 1000)
        row = pc.index(pc.not_equal(whole, stored), True).as_py()
    else:
        first, end = _FIRST_DAY * _UNITS_A_DAY[unit], (_LAST_DAY + 1) * _UNITS_A_DAY[unit]
        beyond = pc.or_(pc.less(stored, first), pc.greater_equal(stored, end))
        row = pc.index(beyond, True).as_py()
        if row < 0 and pa.types.is_timestamp(array.type) and array.type.tz is not None:
            row = _first_beyond_in_zone(array.type.tz, stored, _UNITS_A_DAY[unit])
    if row < 0:
        return None
    return _Fault(row, f"{stored[row]} {'days' if unit == 'day' else unit} since 1970: {reason}")


def _fault_in_durations(array: pa.Array) -> _Fault | None:
    """Of durations, and of times of day in nanoseconds."""
    import pyarrow.compute as pc

    stored, unit = array.view(pa.int64()), str(array.type.unit)
    if unit == "ns":
        reason = WHOLE_MICROSECONDS.replace("datetime.datetime", "Python's time")
        wrong = pc.not_equal(pc.multiply(pc.divide(stored, 1000), 1000), stored)
    else:
        end = min(_MAX_DURATION_DAYS * _UNITS_A_DAY[unit], 2**63 - 1)
        reason = "datetime.timedelta, which scalar functions take, has less than 1e9 days"
        wrong = pc.or_(pc.less(stored, -end), pc.greater_equal(stored, end))
    row = pc.index(wrong, True).as_py()
    return None if row < 0 else _Fault(row, f"{stored[row]} {unit}: {reason}")


def _unit_of(type_: pa.DataType) -> str:
    if pa.types.is_date32(type_):
        return "day"
    return "ms" if pa.types.is_date64(type_) else str(type_.unit)


def _first_beyond_in_zone(zone: str, stored: pa.Array, units_a_day: int) -> int:
    """Returns the first time that is beyond the ends of the calendar in a zone, and not in UTC:
    within a day of them; -1 where there is none.
    """
    import pyarrow.compute as pc

    near = pc.or_(
        pc.less(stored, (_FIRST_DAY + 1) * units_a_day),
        pc.greater_equal(stored, _LAST_DAY * units_a_day),
    )
    for row in pc.indices_nonzero(near.fill_null(False)).to_pylist():
        microseconds = stored[row].as_py() * (_DAY_MICROSECONDS // units_a_day)
        moment = EPOCH + datetime.timedelta(microseconds=microseconds)
        try:
            moment.replace(tzinfo=datetime.UTC).astimezone(time_zone(zone))
        except OverflowError:
            return int(row)
    return -1
