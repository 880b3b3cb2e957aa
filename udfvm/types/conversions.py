"""The conversions of values: which types go where, in and out, on the host and in guests.
``CONVERSIONS`` decides, for every way.

This module is all of it, and is copied into the guest, so it imports nothing of udfvm, and pyarrow
only where arrays are converted.

Nothing is lost in a conversion that was not asked for. An integer is a float where that is exactly
the integer; a time has another unit where it is a whole number of it. A float becomes the nearest
of a narrower type, for that is what declaring ``float`` means, but never infinite.
"""

from __future__ import annotations

import enum
import math
import re
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple


class Rule(enum.Enum):
    """What becomes of the values of a type where another is declared."""

    EXACT = "all"
    CHECKED = "each is checked"
    REFUSED = "none"


class Loss(ValueError):
    """Values that cannot be of the declared type without loss. ``row`` is the first of them, where
    that is known.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class Refused(TypeError):
    """Values of a type that the declared one does not take."""


class Conversion(NamedTuple):
    """An entry of the table: from a family of types to one, how, and what is checked of each
    value.
    """

    found: str
    declared: str
    rule: Callable[[str, str], Rule]
    check: str


_INTEGER: Final = re.compile(r"(u?)int(8|16|32|64)")
_TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(, tz=.+)?\]")
_WIDTHS: Final = {
    "halffloat": 11,
    "float": 24,
    "double": 53,
}  # bits of the integers that a float has exactly
_UNITS: Final = ("s", "ms", "us", "ns")
_FAMILIES: Final = {
    "null": "null",
    "bool": "bool",
    **dict.fromkeys(_WIDTHS, "float"),
    "string": "text",
    "large_string": "text",
    "string_view": "text",
    "json": "text",
    "binary": "bytes",
    "large_binary": "bytes",
    "binary_view": "bytes",
    "date32[day]": "date",
    "date64[ms]": "date",
}
_LISTS: Final = ("list<", "large_list<", "list_view<", "large_list_view<", "fixed_size_list<")


_DECLARED: Final = (
    "null",
    "bool",
    "integer",
    "float",
    "text",
    "bytes",
    "date",
    "time",
    "time with a zone",
    "list",
    "struct",
)


def family(name: str) -> str:
    """The family of a type, by its name as pyarrow prints it; ``other`` for types that cannot be
    declared.
    """
    if name in _FAMILIES:
        return _FAMILIES[name]
    if _INTEGER.fullmatch(name):
        return "integer"
    if match := _TIMESTAMP.fullmatch(name):
        return "time with a zone" if match[2] else "time"
    if name.startswith("fixed_size_binary"):
        return "bytes"
    if name.startswith(_LISTS):
        return "list"
    return "struct" if name.startswith("struct<") else "other"


def integer_range(name: str) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    match = _INTEGER.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no integer type")
    bits = int(match[2])
    return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _all(found: str, declared: str) -> Rule:
    return Rule.EXACT


def _each(found: str, declared: str) -> Rule:
    return Rule.CHECKED


def _integers(found: str, declared: str) -> Rule:
    (smallest, largest), (least, most) = integer_range(found), integer_range(declared)
    return Rule.EXACT if least <= smallest and largest <= most else Rule.CHECKED


def _integer_to_float(found: str, declared: str) -> Rule:
    smallest, largest = integer_range(found)
    return Rule.EXACT if max(-smallest, largest) <= 2 ** _WIDTHS[declared] else Rule.CHECKED


def _floats(found: str, declared: str) -> Rule:
    return Rule.EXACT if _WIDTHS[found] <= _WIDTHS[declared] else Rule.CHECKED


def _dates(found: str, declared: str) -> Rule:
    return Rule.CHECKED if found == "date64[ms]" else Rule.EXACT


def _times(found: str, declared: str) -> Rule:
    one, other = _TIMESTAMP.fullmatch(found), _TIMESTAMP.fullmatch(declared)
    return (
        Rule.EXACT if one is not None and other is not None and one[1] == other[1] else Rule.CHECKED
    )


CONVERSIONS: Final = (
    *(Conversion("null", each, _all, "") for each in _DECLARED),
    Conversion("bool", "bool", _all, ""),
    Conversion("bool", "integer", _all, ""),  # as in Python, where True is an int
    Conversion("bool", "float", _all, ""),
    Conversion("integer", "integer", _integers, "it is in the range of the type"),
    Conversion("integer", "float", _integer_to_float, "a float is exactly the integer"),
    Conversion("float", "float", _floats, "the nearest one is taken; it may not become infinite"),
    Conversion("text", "text", _each, "it is valid UTF-8"),
    Conversion("bytes", "bytes", _all, ""),
    Conversion("date", "date", _dates, "it is a whole day"),
    Conversion("time", "time", _times, "it is a whole number of the unit, and in its range"),
    Conversion(
        "time with a zone",
        "time with a zone",
        _times,
        "as for times; the zone may be another: it is the same moment",
    ),
    Conversion(
        "list", "list", _each, "as for the values that it holds; of a fixed size, it has as many"
    ),
    Conversion(
        "struct", "struct", _each, "as for its fields, which have the same names in the same order"
    ),
)
_TABLE: Final = {(each.found, each.declared): each for each in CONVERSIONS}


def rule(found: str, declared: str) -> Rule:
    """What becomes of values of a type where another is declared, both by name. Of lists and
    structs what they hold decides.
    """
    conversion = _TABLE.get((family(found), family(declared)))
    return Rule.REFUSED if conversion is None else conversion.rule(found, declared)


def markdown() -> str:
    """The table for the documentation."""
    lines = ["| from | to | which values |", "| --- | --- | --- |"]
    for each in CONVERSIONS:
        if each.found != "null":
            lines.append(
                f"| {each.found} | {each.declared} |"
                f" {f'those of which this holds: {each.check}' if each.check else 'all'} |"
            )
    return "\n".join((*lines, "| null | any | all: they are nulls |", "| anything else | | none |"))


# ---- Values ----


def exact_float(value: Any, name: str) -> float:
    """A number as a float of a type: integers exactly, floats as the nearest, which is not
    infinite. Raises Loss.
    """
    if hasattr(value, "dtype"):  # numpy compares its integers with floats as floats
        value = value.item()
    try:
        real = float(value)
    except OverflowError:
        raise Loss(f"{short(value)} is too large for {name}") from None
    if not isinstance(value, float) and real != value and not math.isnan(real):
        raise Loss(f"{short(value)} is no {name} exactly")
    if name == "float" and math.isfinite(real):
        narrow = _nearest_float32(real)
        if not isinstance(value, float) and narrow != real and not hasattr(value, "dtype"):
            raise Loss(f"{short(value)} is no {name} exactly")
        return narrow
    return real


def _nearest_float32(real: float) -> float:
    try:
        nearest: float = struct.unpack("<f", struct.pack("<f", real))[0]
    except OverflowError:
        raise Loss(f"{short(real)} is too large for float") from None
    return nearest


def is_missing(value: object) -> bool:
    """Whether a value is one of pandas' words for null."""
    kind = type(value)
    return kind.__name__ in ("NaTType", "NAType") and kind.__module__.startswith("pandas")


def short(value: object) -> str:
    """How a value looks, in few characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value of somebody else's class, or an integer of too many digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---- Arrays ----

# Types any bytes of which are values, by Arrow's numbers for them (``Type::type``): booleans,
# integers, floats, date32, timestamps.
_NUMBERS: Final = frozenset({*range(1, 13), 16, 18})


def convert(array: Any, declared: Any) -> Any:
    """A pyarrow array as another type. Raises Refused, or Loss with the first row that cannot be
    converted.
    """
    if array.type.id in _NUMBERS and array.type == declared:
        return array  # at once: in a guest each object that is touched is a page to put back
    try:
        return _converted(array, declared)
    except Loss as loss:
        row = _first(array, declared)
        raise Loss(f"{short(_value_at(array, row))} {loss}", row) from None


def _first(array: Any, declared: Any) -> int:
    """The first row that cannot be converted, where there is one."""
    start, count = 0, len(array)
    while count > 1:
        half = count // 2
        try:
            _converted(array.slice(start, half), declared)
        except Loss:
            count = half
        else:
            start, count = start + half, count - half
    return start


def _value_at(array: Any, row: int) -> object:
    value = array[row]
    try:
        return value.as_py()
    except Exception:  # noqa: BLE001 - a value that Python has no object for
        return value.as_buffer().to_pybytes() if hasattr(value, "as_buffer") else value


def _converted(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    found = array.type
    kinds = pa.types
    if kinds.is_dictionary(found):
        return _dictionary_decoded(array, declared)
    if kinds.is_run_end_encoded(found):
        return _run_ends_decoded(array, declared)
    if found == declared and not _is_checked(declared):
        return array
    if rule(str(found), str(declared)) is Rule.REFUSED:
        raise Refused(f"{found} where {declared} is declared")
    if kinds.is_null(found):
        return pa.nulls(len(array), declared)
    if kinds.is_struct(declared):
        return _struct(array, declared)
    if declared.num_fields:
        return _list(array, declared)
    return _leaf(array, declared)


def _is_checked(type_: Any) -> bool:
    """Whether arrays hold values that are none of their type: text that is not UTF-8, dates of
    milliseconds that are no whole days.
    """
    import pyarrow as pa

    if type_.num_fields:
        return any(_is_checked(type_.field(index).type) for index in range(type_.num_fields))
    kinds = pa.types
    return bool(
        kinds.is_date64(type_)
        or kinds.is_string(type_)
        or kinds.is_large_string(type_)
        or kinds.is_string_view(type_)
    )


def _dictionary_decoded(array: Any, declared: Any) -> Any:
    """The values are converted first: not every type can be taken from. Those that no row has do
    not matter.
    """
    import pyarrow.compute as pc

    if not len(array.dictionary):
        return _nulls(len(array), declared)
    try:
        return _converted(array.dictionary, declared).take(array.indices)
    except Loss:
        used = pc.unique(array.indices.drop_null())
    return _pieces(array.dictionary, [(index, 1) for index in used.to_pylist()], declared).take(
        pc.index_in(array.indices, used)
    )


def _run_ends_decoded(array: Any, declared: Any) -> Any:
    """The values of the runs that the rows are of, converted, as often as they occur."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(array):
        return _nulls(0, declared)
    first, count = array.find_physical_offset(), array.find_physical_length()
    runs = pa.RunEndEncodedArray.from_arrays(
        array.run_ends, pa.array(range(len(array.run_ends)), pa.int64())
    )
    places = pc.run_end_decode(runs.slice(array.offset, len(array)))
    return _converted(array.values.slice(first, count), declared).take(pc.subtract(places, first))


def _nulls(rows: int, declared: Any) -> Any:
    import pyarrow as pa

    return pa.nulls(rows, declared)


def _pieces(array: Any, places: list[tuple[int, int]], declared: Any) -> Any:
    """Parts of an array, each from a row and of a length, converted and put together."""
    import pyarrow as pa

    parts = [_converted(array.slice(start, length), declared) for start, length in places if length]
    return pa.concat_arrays(parts) if parts else _nulls(0, declared)


def _flat(array: Any, declared: Any) -> Any:
    """The values that lists hold, converted. ``flatten`` leaves out what nulls and gaps hide, but
    cannot do so for all encodings.
    """
    import pyarrow as pa

    try:
        flat = array.flatten()
    except (pa.ArrowInvalid, NotImplementedError):
        starts, lengths = _extents(array)
        return _pieces(array.values, list(zip(starts, lengths, strict=True)), declared)
    return _converted(flat, declared)


def _extents(array: Any) -> tuple[list[int], list[int]]:
    """Where each list begins among the values, and how many it has; none where it is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0).to_pylist()
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return [size * (array.offset + row) for row in range(len(array))], lengths
    return array.offsets.to_pylist()[: len(array)], lengths


def _leaf(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    found = array.type
    kinds = pa.types
    try:
        if kinds.is_floating(declared):
            return _float(array, declared)
        if _is_checked(found):
            array.validate(full=True)
        return array if found == declared else array.cast(declared)
    except pa.ArrowException as error:
        raise Loss(f"cannot be {declared} without loss: {error}") from None


def _float(array: Any, declared: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(array.type):
        try:
            return array.cast(declared)
        except (
            pa.ArrowInvalid
        ):  # beyond what all floats have; powers of two and others are exact there too
            floats = array.cast(declared, safe=False)
            if not floats.cast(array.type).equals(array):
                raise pa.ArrowInvalid("no float is exactly the integer") from None
            return floats
    floats = array.cast(declared, safe=False)
    if (
        pa.types.is_floating(array.type)
        and pc.any(pc.and_not(pc.is_inf(floats), pc.is_inf(array))).as_py()
    ):
        raise pa.ArrowInvalid("it would be infinite")
    return floats


def _struct(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    found = array.type
    names = [declared.field(index).name for index in range(declared.num_fields)]
    if [found.field(index).name for index in range(found.num_fields)] != names:
        raise Refused(f"{found} where {declared} is declared")
    fields = [declared.field(index) for index in range(declared.num_fields)]
    columns = [
        _converted(column, field.type)
        for column, field in zip(array.flatten(), fields, strict=True)
    ]
    if any(
        not field.nullable and column.null_count > array.null_count
        for column, field in zip(columns, fields, strict=True)
    ):
        raise Loss(f"holds a null where there is none: {declared}")
    if array.null_count:  # where the struct is null, its fields are too, whatever is said of them
        fields = [field.with_nullable(True) for field in fields]
        made = pa.StructArray.from_arrays(columns, fields=fields, mask=array.is_null())
        return pa.Array.from_buffers(
            declared, len(made), made.buffers()[:1], made.null_count, 0, columns
        )
    return pa.StructArray.from_arrays(columns, fields=fields)


def _list(array: Any, declared: Any) -> Any:
    """Lists put together anew: what nulls and gaps hide is left out, and no cast of lists is relied
    on.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types
    if array.type == declared:  # so it holds no encodings
        flat = array.flatten()
        if _converted(flat, declared.value_type) is flat:
            return array  # there was nothing to check, or it held
    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0)
    mask = array.is_null() if array.null_count else None
    if kinds.is_fixed_size_list(declared):
        return _fixed_list(array, declared, lengths)
    items = _items(array, declared)
    wide = kinds.is_large_list(declared)
    if not wide and len(items) >= 2**31:
        raise Loss(f"cannot be {declared}: they hold more than 2^31 values")
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)]).cast(
        pa.int64() if wide else pa.int32()
    )
    made = (pa.LargeListArray if wide else pa.ListArray).from_arrays(
        offsets, items, type=declared, mask=mask
    )
    made.validate()
    return made


def _items(array: Any, declared: Any) -> Any:
    items = _flat(array, declared.value_type)
    if items.null_count and not declared.value_field.nullable:
        raise Loss(f"holds a null where there is none: {declared}")
    return items


def _fixed_list(array: Any, declared: Any, lengths: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    size = declared.list_size
    valid = array.is_valid()
    if pc.all(pc.or_(pc.equal(lengths, size), array.is_null())).as_py() is False:
        raise Loss(f"has not the {size} values of a {declared}")
    items = _items(array, declared)
    if array.null_count:  # a null has room for values too
        before = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
        starts = pc.if_else(valid, pc.multiply(before, size), None)
        places = pa.array(
            [
                None if start is None else start + index
                for start in starts.to_pylist()
                for index in range(size)
            ],
            pa.int64(),
        )
        items = items.take(places)
    made = pa.FixedSizeListArray.from_arrays(
        items, type=declared, mask=array.is_null() if array.null_count else None
    )
    made.validate()
    return made
