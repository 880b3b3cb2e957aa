"""Conversions of pyarrow arrays to declared types; see ``conversions``.

The build copies this module beside ``conversions`` into the guest, so it imports nothing else of
udfvm, and pyarrow only when it converts arrays.
"""

from __future__ import annotations

from udfvm.static_typing import Any, Final
from udfvm.types.conversions import (
    FIXED_BINARY,
    TIMESTAMP,
    Loss,
    Refused,
    Rule,
    integer_range,
    rule,
    short,
)
from udfvm.types.nested import holds_others
from udfvm.types.nested_conversions import (
    Conversions,
    converted_list,
    converted_map,
    converted_struct,
    converted_union,
)
from udfvm.types.unions import run_indices

# Types for which any bytes are values, by their numbers in Arrow (``Type::type``): booleans,
# integers, floats, date32, timestamps.
_NUMBERS: Final = frozenset({*range(1, 13), 16, 18})


def flat_type(name: str) -> Any:
    """Returns the pyarrow type of a name, which is none of a list or struct."""
    import pyarrow as pa

    if match := TIMESTAMP.fullmatch(name):
        return pa.timestamp(match[1], tz=match[2])
    if match := FIXED_BINARY.fullmatch(name):
        return pa.binary(int(match[1]))
    if name.startswith("decimal"):
        from udfvm.types.decimals import decimal_type  # imports decimal, for such types alone

        if type_ := decimal_type(name):
            return getattr(pa, f"decimal{type_.bits}")(type_.precision, type_.scale)
    return pa.type_for_alias(name)


def convert(array: Any, declared: Any) -> Any:
    """Returns a pyarrow array as another type. Raises Refused, or Loss with the first row that
    cannot be converted.
    """
    if array.type.id in _NUMBERS and array.type == declared:
        return array  # first: each object that a guest touches is a page to restore
    try:
        return _converted(array, declared)
    except Loss as loss:
        row = _first(array, declared)
        raise Loss(f"{short(_value_at(array, row))}, which {loss}", row) from None


def _first(array: Any, declared: Any) -> int:
    """Returns the first row that cannot be converted; None if there is none."""
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
    """Returns a value of an encoded array as that of what it encodes: pyarrow ends the process
    where it makes scalars of runs in dictionaries.
    """
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType):
        return _value_at(array.storage, row)
    if pa.types.is_dictionary(array.type):
        return _value_at(array.dictionary, array.indices[row].as_py())
    if pa.types.is_run_end_encoded(array.type):
        return _value_at(array.values, run_indices(array)[row].as_py())
    value = array[row]
    try:
        return value.as_py()
    except Exception:  # noqa: BLE001 - Python has no object for the value
        return value.as_buffer().to_pybytes() if hasattr(value, "as_buffer") else value


class _Labelled:
    """An array under another type of the same layout: PyCapsule interface of Arrow."""

    def __init__(self, array: Any, type_: Any) -> None:
        self._array = array
        self._type = type_

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._type.__arrow_c_schema__(), self._array.__arrow_c_array__()[1]


def _converted(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    made = _with_layout(array, declared)
    if holds_others(declared) and not made.type.equals(declared, check_metadata=True):
        return pa.array(_Labelled(anchored(made), declared))  # names and metadata of fields
    return made


def anchored(array: Any) -> Any:
    """Returns an array that pyarrow can write and hand over. Of a child that is empty behind an
    offset, the PyCapsule interface leaves no bytes of its buffers, and pyarrow would write a
    negative number of them.
    """
    return _anchored(array) if _is_adrift(array) else array


def _anchored(array: Any) -> Any:
    import pyarrow as pa

    type_, offset = array.type, array.offset
    if not len(array):
        return _nulls(0, type_)
    if not type_.num_fields:
        return array
    own = array.buffers()[: type_.num_buffers]
    nulls = 0 if pa.types.is_union(type_) else array.null_count
    if pa.types.is_map(type_):
        held = [_anchored(array.keys), _anchored(array.items)]
        children = [pa.StructArray.from_arrays(held, fields=list(type_.field(0).type))]
    elif pa.types.is_struct(type_) or pa.types.is_union(type_):
        children = [_anchored(array.field(index)) for index in range(type_.num_fields)]
        if pa.types.is_struct(type_):  # whose fields begin where it does
            offset, own = 0, [array.is_valid().buffers()[1] if nulls else None]
        elif type_.mode == "sparse":
            offset, own = 0, [None, pa.array(array.type_codes.to_pylist(), pa.int8()).buffers()[1]]
    else:
        children = [_anchored(array.values)]
    return pa.Array.from_buffers(type_, len(array), own, nulls, offset, children)


def _is_adrift(array: Any) -> bool:
    import pyarrow as pa

    type_ = array.type
    if not len(array) and array.offset:
        return True
    if pa.types.is_map(type_):
        return _is_adrift(array.keys) or _is_adrift(array.items)
    if pa.types.is_struct(type_) or pa.types.is_union(type_):
        return any(_is_adrift(array.field(index)) for index in range(type_.num_fields))
    return bool(type_.num_fields) and _is_adrift(array.values)


def _with_layout(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    found = array.type
    if isinstance(found, pa.BaseExtensionType):
        return _converted(array.storage, declared)
    if pa.types.is_dictionary(found):
        return _dictionary_decoded(array, declared)
    if pa.types.is_run_end_encoded(found):
        return _run_ends_decoded(array, declared)
    if found == declared and not _is_checked(declared):
        return array
    if rule(str(found), str(declared)) is Rule.REFUSED:
        raise Refused(f"{found} where {declared} is declared")
    return _unencoded(array, declared)


def _unencoded(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_null(array.type):
        return pa.nulls(len(array), declared)
    if pa.types.is_struct(declared):
        return converted_struct(array, declared, _HELD)
    if pa.types.is_map(declared):
        return converted_map(array, declared, _HELD)
    if pa.types.is_union(declared):
        return converted_union(array, declared, _HELD)
    if declared.num_fields:
        return converted_list(array, declared, _HELD)
    return _leaf(array, declared)


def _is_checked(type_: Any) -> bool:
    """Returns True if arrays may hold invalid values: text that is not UTF-8, dates of milliseconds
    that are no whole days, times beyond a day, decimals of too many digits.
    """
    import pyarrow as pa

    if type_.num_fields:
        return any(_is_checked(type_.field(index).type) for index in range(type_.num_fields))
    return bool(
        pa.types.is_date64(type_)
        or pa.types.is_time(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


def _dictionary_decoded(array: Any, declared: Any) -> Any:
    """Converts the values first, because pyarrow cannot take from every type. Values that no row
    uses are ignored.
    """
    import pyarrow.compute as pc

    if not len(array.dictionary):
        return _nulls(len(array), declared)
    try:
        return _converted(array.dictionary, declared).take(array.indices)
    except Loss:
        used = pc.unique(array.indices.drop_null())
    return _converted_slices(
        array.dictionary, [(index, 1) for index in used.to_pylist()], declared
    ).take(pc.index_in(array.indices, used))


def _run_ends_decoded(array: Any, declared: Any) -> Any:
    """Converts the values of the runs that the rows belong to, and repeats them."""
    import pyarrow.compute as pc

    if not len(array):
        return _nulls(0, declared)
    first, count = array.find_physical_offset(), array.find_physical_length()
    indices = pc.subtract(run_indices(array), first)
    return _converted(array.values.slice(first, count), declared).take(indices)


def _nulls(rows: int, declared: Any) -> Any:
    import pyarrow as pa

    return pa.nulls(rows, declared)


def _converted_slices(array: Any, slices: list[tuple[int, int]], declared: Any) -> Any:
    """Converts slices of an array, each given by a row and a length, and concatenates them."""
    import pyarrow as pa

    parts = [_converted(array.slice(start, length), declared) for start, length in slices if length]
    return pa.concat_arrays(parts) if parts else _nulls(0, declared)


def _leaf(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    found = array.type
    try:
        if pa.types.is_float16(declared):
            return _half(array, declared)
        if pa.types.is_floating(declared):
            return _float(array, declared)
        if _is_checked(found):
            array.validate(full=True)
        if pa.types.is_decimal(declared):
            return _decimal(array, declared)
        return array if found == declared else array.cast(declared)
    except pa.ArrowException as error:
        reason: object = error
        if pa.types.is_integer(declared) and pa.types.is_integer(found):  # pyarrow's is not right
            reason = "its range is {} to {}".format(*integer_range(str(declared)))
        raise Loss(f"cannot be {declared} without loss: {reason}") from None


def _float(array: Any, declared: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(array.type):
        try:
            return array.cast(declared)
        except pa.ArrowInvalid:
            # Beyond the range in which floats have every integer. Some are exact: powers of two.
            floats = array.cast(declared, safe=False)
            if not _is_exactly(floats, array):
                raise pa.ArrowInvalid("no float is exactly the integer") from None
            return floats
    floats = array.cast(declared, safe=False)
    if (
        pa.types.is_floating(array.type)
        and pc.any(pc.and_not(pc.is_inf(floats), pc.is_inf(array))).as_py()
    ):
        raise pa.ArrowInvalid("it would be infinite")
    return floats


def _is_exactly(floats: Any, integers: Any) -> bool:
    import pyarrow as pa

    try:
        return bool(floats.cast(integers.type).equals(integers))
    except pa.ArrowInvalid:  # beyond the range of the integers
        return False


def _half(array: Any, declared: Any) -> Any:
    """pyarrow has no bool as one, and does not check integers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if array.type == declared:
        return array
    is_float = pa.types.is_floating(array.type)
    doubles = array.cast(pa.float64()) if is_float else _float(array, pa.float64())
    halves = doubles.cast(declared, safe=False)
    again = halves.cast(pa.float64())
    if pc.any(pc.and_not(pc.is_inf(again), pc.is_inf(doubles))).as_py():
        raise pa.ArrowInvalid("it would be infinite")
    if not is_float and not again.equals(doubles):
        raise pa.ArrowInvalid("no float is exactly the integer")
    return halves


def _decimal(array: Any, declared: Any) -> Any:
    import pyarrow as pa

    if array.type == declared:
        return array
    if pa.types.is_integer(array.type):
        array = array.cast(pa.decimal128(20, 0))  # the digits of any integer
    if not pa.types.is_decimal256(declared):
        # pyarrow drops digits where it casts to one of less bits.
        decimal = pa.decimal256 if pa.types.is_decimal256(array.type) else pa.decimal128
        array = array.cast(decimal(declared.precision, declared.scale))
    return array.cast(declared)


_HELD: Final = Conversions(_converted, _converted_slices)
