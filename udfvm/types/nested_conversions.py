"""Conversions of pyarrow's lists, structs, maps and unions to declared types: for
``array_conversions``, whose functions convert what they hold.

The build copies this module beside ``conversions`` into the guest, so it imports nothing else of
udfvm, and pyarrow only when it converts arrays.
"""

from __future__ import annotations

from collections.abc import Callable

from udfvm.static_typing import Any
from udfvm.tuples import NamedTuple
from udfvm.types.conversions import Loss, Refused, Rule, family, rule
from udfvm.types.unions import flattened, has_unions, null_count, parts_of, taken, union_of


class Conversions(NamedTuple):
    """What converts the values that others hold: an array, and slices of an array, each given by a
    row and a length, to one array.
    """

    array: Callable[[Any, Any], Any]
    slices: Callable[[Any, list[tuple[int, int]], Any], Any]


def _flat(array: Any, declared: Any, conversions: Conversions) -> Any:
    """Converts the values that lists hold. ``flatten`` leaves out values hidden by nulls and gaps,
    but does not support all encodings.
    """
    import pyarrow as pa

    try:
        flat = flattened(array)
    except (pa.ArrowInvalid, NotImplementedError):
        starts, lengths = _extents(array)
        return conversions.slices(array.values, list(zip(starts, lengths, strict=True)), declared)
    return conversions.array(flat, declared)


def _extents(array: Any) -> tuple[list[int], list[int]]:
    """Returns the offset of each list among the values, and its length; 0 for a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0).to_pylist()
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return [size * (array.offset + row) for row in range(len(array))], lengths
    return array.offsets.to_pylist()[: len(array)], lengths


def converted_struct(array: Any, declared: Any, conversions: Conversions) -> Any:
    """Returns structs as a type with the same names of fields. Raises Refused or Loss."""
    import pyarrow as pa

    found = array.type
    names = [declared.field(index).name for index in range(declared.num_fields)]
    if [found.field(index).name for index in range(found.num_fields)] != names:
        raise Refused(f"{found} where {declared} is declared")
    if not names:
        return array
    fields = [declared.field(index) for index in range(declared.num_fields)]
    columns = [
        conversions.array(column, field.type)
        for column, field in zip(columns_of(array), fields, strict=True)
    ]
    if any(
        not field.nullable and null_count(column) > array.null_count
        for column, field in zip(columns, fields, strict=True)
    ):
        raise Loss(f"holds a null where there is none: {declared}")
    if array.null_count:  # the fields of a null struct are null, whatever their validity says
        bitmap = array.is_valid().buffers()[1]
        return pa.Array.from_buffers(declared, len(array), [bitmap], array.null_count, 0, columns)
    return pa.StructArray.from_arrays(columns, fields=fields)


def with_fields(type_: Any, fields: list[Any]) -> Any:
    """Returns a type with other fields, and a list in place of a list view."""
    import pyarrow as pa

    if pa.types.is_struct(type_):
        return pa.struct(fields)
    if pa.types.is_map(type_):
        key, item = fields[0].type
        return pa.map_(key, item, type_.keys_sorted)
    if pa.types.is_union(type_):
        return pa.union(fields, type_.mode, type_.type_codes)
    (field,) = fields
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(field, type_.list_size)
    is_large = pa.types.is_large_list(type_) or pa.types.is_large_list_view(type_)
    return pa.large_list(field) if is_large else pa.list_(field)


def difference(found: Any, declared: Any) -> str:
    """Returns where a type that does not convert to a declared one differs from it, in brackets;
    nothing where neither holds another type.

    >>> import pyarrow as pa
    >>> found = pa.struct([("x", pa.list_(pa.int64()))])
    >>> difference(found, pa.struct([("x", pa.list_(pa.string()))]))
    " (an item of field 'x' is int64, not string)"
    """
    place, reason = _difference(found, declared)
    if not place and reason.startswith("is "):
        return ""  # which names both types, as the sentence does that this is part of
    return f" ({place or 'it'} {reason})" if reason and (place or found.num_fields) else ""


def _difference(found: Any, declared: Any) -> tuple[str, str]:
    """Returns the place of the first difference, and what it is; empty texts if there is none."""
    import pyarrow as pa

    if isinstance(found, pa.BaseExtensionType):
        return _difference(found.storage_type, declared)
    if pa.types.is_dictionary(found) or pa.types.is_run_end_encoded(found):
        return _difference(found.value_type, declared)
    families = family(str(found)), family(str(declared))
    if families in (("struct", "struct"), ("union", "union")):
        return _difference_of_structs(found, declared)
    if families == ("map", "map"):
        held = [
            ("a key", found.key_type, declared.key_type),
            ("a value", found.item_type, declared.item_type),
        ]
    elif families == ("list", "list"):
        held = [("an item", found.value_type, declared.value_type)]
    else:
        refused = rule(str(found), str(declared)) is Rule.REFUSED
        return "", f"is {found}, not {declared}" if refused else ""
    return _first_difference(held)


def _first_difference(held: list[tuple[str, Any, Any]]) -> tuple[str, str]:
    for place, found, declared in held:
        inner, reason = _difference(found, declared)
        if reason:
            return f"{inner} of {place}" if inner else place, reason
    return "", ""


def _difference_of_structs(found: Any, declared: Any) -> tuple[str, str]:
    names, wanted = [field.name for field in found], [field.name for field in declared]
    if names != wanted:
        missing = [name for name in wanted if name not in names]
        unknown = [name for name in names if name not in wanted]
        if missing:
            return "", f"has no field {missing[0]!r}"
        if unknown:
            return "", f"has a field {unknown[0]!r}, which is not declared"
        return "", f"has its fields in another order than {', '.join(wanted)}"
    return _first_difference(
        [
            (f"field {one.name!r}", one.type, other.type)
            for one, other in zip(found, declared, strict=True)
        ]
    )


def columns_of(array: Any) -> list[Any]:
    """Returns the fields of structs, null where the struct is; of runs their values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [array.field(index) for index in range(array.type.num_fields)]
    runs = [pa.types.is_run_end_encoded(column.type) for column in columns]
    if not (any(runs) or has_unions(array.type)):
        return array.flatten()
    # pyarrow ends the process where it flattens structs of unions that have a bitmap, and gives
    # runs a bitmap, which they cannot have.
    rows = pa.array(range(len(array)), pa.int64())
    if array.null_count:
        rows = pc.if_else(array.is_valid(), rows, None)
        return [_where_there_are(column, rows) for column in columns]
    return [
        _where_there_are(column, rows) if has_runs else column
        for column, has_runs in zip(columns, runs, strict=True)
    ]


def _where_there_are(column: Any, rows: Any) -> Any:
    """Returns a column with nulls where a row is null."""
    import pyarrow as pa

    try:
        return taken(column, rows)
    except pa.ArrowNotImplementedError:
        null = pa.nulls(1, column.type)
        parts = (null if row is None else column.slice(row, 1) for row in rows.to_pylist())
        return pa.concat_arrays([column.slice(0, 0), *parts])


def table_of_structs(column: Any) -> Any:
    """Returns a chunked array of structs as a table of their fields, null where the struct is; of
    runs their values. pyarrow ends the process where it takes some structs apart.

    >>> import pyarrow as pa
    >>> table_of_structs(pa.chunked_array([[{"x": 1}, None]]))["x"].to_pylist()
    [1, None]
    """
    import pyarrow as pa

    names = [field.name for field in column.type]
    if not names:  # a batch of columns would have no rows
        return pa.Table.from_struct_array(column)
    batches = [
        pa.RecordBatch.from_arrays(columns_of(chunk), names=names) for chunk in column.chunks
    ]
    return pa.Table.from_batches(batches, None if batches else pa.schema(list(column.type)))


def converted_union(array: Any, declared: Any, conversions: Conversions) -> Any:
    """Returns unions, made anew, as a type with the same names of fields. Raises Refused or
    Loss.
    """
    found = array.type
    fields = [declared.field(index) for index in range(declared.num_fields)]
    names = [field.name for field in fields]
    if [found.field(index).name for index in range(found.num_fields)] != names:
        raise Refused(f"{found} where {declared} is declared")
    parts = parts_of(array)
    children = [
        conversions.array(values, field.type)
        for (_, values), field in zip(parts, fields, strict=True)
    ]
    if found == declared and all(
        child is values for child, (_, values) in zip(children, parts, strict=True)
    ):
        return array  # nothing had to be checked, or the check passed
    indices = [0] * len(array)
    for index, (rows, _) in enumerate(parts):
        for row in rows.to_pylist():
            indices[row] = index
    _move_nulls(indices, children, declared)
    return union_of(indices, children, declared)


def _move_nulls(indices: list[int], children: list[Any], declared: Any) -> None:
    """Makes nulls of children that may not be null such of the first that may be. Raises Loss where
    there is none.
    """
    import pyarrow as pa

    nullable = [declared.field(index).nullable for index in range(declared.num_fields)]
    strict = [
        index for index, child in enumerate(children) if not nullable[index] and null_count(child)
    ]
    if not strict:
        return
    if not any(nullable):
        raise Loss(f"holds a null where there is none: {declared}")
    other = nullable.index(True)
    valid = [iter(child.is_valid().to_pylist()) for child in children]
    own, places = (
        0,
        list[int | None](),
    )  # of the rows of the other child among its values; None for a new null
    for row, index in enumerate(indices):
        is_valid = next(valid[index])
        if index == other:
            places.append(own)
            own += 1
        elif index in strict and not is_valid:
            places.append(None)
            indices[row] = other
    children[other] = children[other].take(pa.array(places, pa.int64()))
    for index in strict:
        children[index] = children[index].filter(children[index].is_valid())


def converted_list(array: Any, declared: Any, conversions: Conversions) -> Any:
    """Returns lists, made anew, as another type of lists. It leaves out values hidden by nulls and
    gaps, and does not rely on casts of lists. Raises Refused or Loss.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if array.type == declared:  # so it contains no encodings
        flat = flattened(array)
        if conversions.array(flat, declared.value_type) is flat:
            return array  # nothing had to be checked, or the check passed
    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0)
    mask = array.is_null() if array.null_count else None
    if pa.types.is_fixed_size_list(declared):
        return _fixed_list(array, declared, lengths, conversions)
    items = _items(array, declared, conversions)
    is_large = pa.types.is_large_list(declared)
    if not is_large and len(items) >= 2**31:
        raise Loss(f"cannot be {declared}: they hold more than 2^31 values")
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)]).cast(
        pa.int64() if is_large else pa.int32()
    )
    made = (pa.LargeListArray if is_large else pa.ListArray).from_arrays(
        offsets, items, type=declared, mask=mask
    )
    made.validate()
    return made


def converted_map(array: Any, declared: Any, conversions: Conversions) -> Any:
    """Returns maps as another type of maps. Raises Refused or Loss."""
    import pyarrow as pa

    entries = pa.struct([declared.key_field, declared.item_field])
    lists = map_as_lists(array, declared.key_field.name, declared.item_field.name)
    made = converted_list(lists, pa.list_(pa.field("entries", entries, False)), conversions)
    return pa.Array.from_buffers(
        declared, len(made), made.buffers()[:2], made.null_count, made.offset, [made.values]
    )


def map_as_lists(array: Any, key: str, value: str) -> Any:
    """Returns an array of maps as one of lists of structs with fields of two names, the same
    buffers.
    """
    import pyarrow as pa

    entries = pa.StructArray.from_arrays(
        [array.values.field(0), array.values.field(1)], names=[key, value]
    )
    return pa.Array.from_buffers(
        pa.list_(entries.type),
        len(array),
        array.buffers()[:2],
        array.null_count,
        array.offset,
        [entries],
    )


def _items(array: Any, declared: Any, conversions: Conversions) -> Any:
    items = _flat(array, declared.value_type, conversions)
    if not declared.value_field.nullable and null_count(items):
        raise Loss(f"holds a null where there is none: {declared}")
    return items


def _fixed_list(array: Any, declared: Any, lengths: Any, conversions: Conversions) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    size = declared.list_size
    valid = array.is_valid()
    if pc.all(pc.or_(pc.equal(lengths, size), array.is_null())).as_py() is False:
        raise Loss(f"does not have the {size} values of a {declared}")
    items = _items(array, declared, conversions)
    if array.null_count:  # a null takes up values too
        before = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
        starts = pc.if_else(valid, pc.multiply(before, size), None)
        indices = pa.array(
            [
                None if start is None else start + index
                for start in starts.to_pylist()
                for index in range(size)
            ],
            pa.int64(),
        )
        items = items.take(indices)
    # Of lists of size 0, the items do not say how many there are.
    bitmap = valid.buffers()[1] if array.null_count else None
    made = pa.Array.from_buffers(declared, len(array), [bitmap], array.null_count, 0, [items])
    made.validate()
    return made
