"""Conversions of numpy arrays and Python objects to Arrow, on the host and in guests. Each value
converts as it would alone.

pyarrow guesses a common type of objects, and converts some to it with loss. It ignores the steps of
numpy's types (it reads ``datetime64[10ms]`` as milliseconds), wraps days that ``date32`` does not
have, and cuts text at its first NUL.

The build copies this module beside ``conversions`` into the guest, so it imports nothing else of
udfvm, and numpy not at all.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss, Refused, family, surrogate_of
from udfvm.types.nested import holds_others

# Names of the classes whose instances pyarrow converts to a type of a family in one way only.
_CLASSES: Final = {
    "bool": {"bool"},
    "integer": {"int"},
    "float": {"float", "int"},
    "text": {"str"},
    "bytes": {"bytes"},
    "date": {"date"},
    "duration": {"timedelta"},
    "decimal": {"Decimal"},
}
_STEPS: Final = re.compile(r"(datetime|timedelta)64\[\d+")
_KEPT: Final = "biufmM"  # kinds of dtypes whose arrays in lists become arrays of Arrow
# What to make of arrays that pyarrow refuses, by the kind of their dtype.
_CASTS: Final = {
    "M": "array.astype('datetime64[s]')",
    "m": "array.astype('timedelta64[s]')",
    "c": "array.real and array.imag, as two columns",
    "f": "array.astype('float64')",
    "V": "numpy.array([bytes(each) for each in array], object)",
}
_FLOATS: Final = {"float": "float32", "double": "float64"}
_DAYS: Final = 2**31  # the range of date32 in each direction


def numpy_type(type_: Any) -> str | None:
    """Returns the name of the numpy type that is stored like a pyarrow type of numbers or
    timestamps; None for other types.
    """
    if str(type_).startswith("timestamp"):
        return f"datetime64[{type_.unit}]"
    if family(str(type_)) not in ("integer", "float") or str(type_) == "halffloat":
        return None
    return _FLOATS.get(str(type_), str(type_))


def from_numpy(values: Any, declared: Any) -> Any:
    """Returns a one-dimensional numpy array, not of objects, as an Arrow array, perhaps in chunks.
    ``declared`` gives the unit of times.

    Raises Refused for numpy types that Arrow does not have, and Loss for values.
    """
    import pyarrow as pa

    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    code = values.dtype.kind
    if code in "US":
        return _from_texts(values.tolist(), pa.string() if code == "U" else pa.binary())
    if code in "mM":
        _check_times(values)
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = f"cast it first: {_CASTS[code]}" if code in _CASTS else error
        raise Refused(
            f"a numpy array of {values.dtype}, which Arrow has no type for: {reason}"
        ) from None
    if (
        pa.types.is_timestamp(declared)
        and declared.tz is not None
        and pa.types.is_timestamp(array.type)
    ):
        return array.view(pa.timestamp(array.type.unit, tz=declared.tz))  # times in numpy are UTC
    if pa.types.is_date64(declared) and array.type == pa.timestamp("ms"):
        return array.view(declared)  # numpy has no dates of milliseconds, but whole days are such
    return array


def _from_texts(values: list[Any], type_: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, type_)
    except ValueError:  # a lone surrogate
        for row, value in enumerate(values):
            try:
                pa.array([value], type_)
            except UnicodeEncodeError as error:
                raise Loss(surrogate_of(error), row) from None
        raise


def _check_times(values: Any) -> None:
    if _STEPS.match(str(values.dtype)):
        raise Refused(
            f"a numpy array of {values.dtype}, which counts in steps; cast it first to a plain unit"
        )
    if str(values.dtype) != "datetime64[D]":
        return
    days = values.view("int64")
    days = days.filled(0) if hasattr(days, "filled") else days  # masked arrays have it
    wrong = ((days < -_DAYS) | (days >= _DAYS)) & (days != -(2**63))  # the minimum is NaT
    if wrong.any():
        row = int(wrong.argmax())
        raise Loss(f"is {days[row]} days since 1970, outside the range of date32[day]", row)


# ---- Python objects ----


def from_objects(values: list[Any], declared: Any) -> Any:
    """Returns Python values as an array of the declared type, or None if each value must be
    converted alone: because one does not clearly have that type.

    pyarrow gets only values that it converts in one way.
    """
    import pyarrow as pa

    try:
        array = _of_arrays(values, declared)
        if array is None and _are_unambiguous(values, declared):
            array = pa.array(values, _widest(declared))
        return None if array is None else convert(array, declared)
    except (pa.ArrowException, OverflowError, ValueError, Refused):
        return None


def _are_unambiguous(values: list[Any], type_: Any) -> bool:
    import pyarrow as pa

    classes = {
        class_.__name__ if class_.__module__ in ("builtins", "datetime", "decimal") else ""
        for class_ in set(map(type, values))
    } - {"NoneType"}
    if holds_others(type_):
        return _hold_unambiguous(values, classes, type_)
    if pa.types.is_float32(type_) or pa.types.is_float16(type_):
        return classes <= {"float"}  # integers convert exactly, floats to the nearest
    return classes <= _CLASSES.get(family(str(type_)), set())


def _hold_unambiguous(values: list[Any], classes: set[str], type_: Any) -> bool:
    """As ``_are_unambiguous`` for what lists and structs of some classes hold."""
    import pyarrow as pa

    if pa.types.is_map(type_) or pa.types.is_union(type_):
        return False
    held = [value for value in values if value is not None]
    if not pa.types.is_struct(type_):
        is_list = classes <= {"list", "tuple"}
        return is_list and _are_unambiguous(list(itertools.chain(*held)), type_.value_type)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    names = {field.name for field in fields}
    if (
        not classes <= {"dict"}
        or len(names) < len(fields)
        or not all(value.keys() <= names for value in held)
    ):
        return False
    return all(
        _are_unambiguous([value.get(field.name) for value in held], field.type) for field in fields
    )


def _widest(type_: Any) -> Any:
    """Returns the type with nulls and with numbers of the largest width. ``convert`` checks
    narrower types.
    """
    import pyarrow as pa

    if pa.types.is_struct(type_):
        fields = [type_.field(index) for index in range(type_.num_fields)]
        return pa.struct([pa.field(field.name, _widest(field.type)) for field in fields])
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(_widest(type_.value_type), type_.list_size)
    if type_.num_fields:
        return pa.large_list(_widest(type_.value_type))
    if pa.types.is_floating(type_):
        return pa.float64()
    if pa.types.is_duration(type_):
        return pa.duration("us")
    return pa.int64() if pa.types.is_integer(type_) and not pa.types.is_uint64(type_) else type_


def _of_arrays(values: list[Any], declared: Any) -> Any:
    """Returns numpy arrays of numbers or times, all of one type, as an array of lists; None for
    others.
    """
    import pyarrow as pa

    held = [value for value in values if value is not None]
    if (
        not held
        or not declared.num_fields
        or pa.types.is_struct(declared)
        or pa.types.is_map(declared)
        or pa.types.is_union(declared)
        or any(type(value) is not type(held[0]) for value in held)
    ):
        return None
    if type(held[0]).__name__ != "ndarray" or not type(held[0]).__module__.startswith("numpy"):
        return None
    if (
        len({str(value.dtype) for value in held}) > 1
        or held[0].dtype.kind not in _KEPT
        or any(value.ndim != 1 for value in held)
    ):
        return None
    lengths = [0 if value is None else len(value) for value in values]
    flat = pa.concat_arrays([from_numpy(value, declared.value_type) for value in held])
    offsets = pa.array([0, *itertools.accumulate(lengths)], pa.int64())
    missing = pa.array([value is None for value in values]) if len(held) < len(values) else None
    return pa.LargeListArray.from_arrays(offsets, flat, mask=missing)
