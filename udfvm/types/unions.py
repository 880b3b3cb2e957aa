"""Unions: the child that a value belongs to, and arrays of Python values that hold unions, which
pyarrow cannot make.

A value of a union is in Python the value of the child that is set. What becomes one is given to
the children in turn: the first that takes it as it is has it, else the first that takes it with a
conversion. None is a null of the first child, or of the first that may be null where the declared
type has some that may not.

The build copies this for guests, so it imports nothing else of udfvm, and pyarrow only where there
are arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from udfvm.static_typing import Any
from udfvm.tuples import NamedTuple


class Chosen(NamedTuple):
    """A value of a union, and the index of its child."""

    child: int
    value: Any


def choose(
    value: Any,
    checks: Iterable[Callable[[Any], Any]],
    failures: tuple[type[Exception], ...],
    *,
    in_json: bool = False,
) -> Chosen | None:
    """Returns a value, not None, as the child that takes it has it; None if none does. The checks
    of the children raise one of ``failures``. ``in_json``: text stands for other types too.

    >>> choose(1, [bool, float, int], ())
    Chosen(child=2, value=1)
    >>> choose("1", [int, str], ()), choose("1", [int, str], (), in_json=True)
    (Chosen(child=1, value='1'), Chosen(child=0, value=1))
    """
    first = None
    for index, check in enumerate(checks):
        try:
            made = check(value)
        except failures:
            continue
        if (in_json and isinstance(value, str)) or _is_same(made, value):
            return Chosen(index, made)
        first = first or Chosen(index, made)
    return first


def _is_same(made: Any, value: Any) -> bool:
    """Whether a check left a value as it is, but for its container."""
    if isinstance(made, Chosen):
        made = made.value
    if isinstance(made, list):  # also of maps, as pairs
        found = list(value.items() if isinstance(value, Mapping) else value)
        return len(made) == len(found) and all(map(_is_same, made, found))
    if type(made) is not type(value):
        return False
    if isinstance(made, dict):
        return made.keys() == value.keys() and all(
            _is_same(each, value[name]) for name, each in made.items()
        )
    if type(made) is tuple:
        return len(made) == len(value) and all(map(_is_same, made, value))
    return bool(made == value or (made != made and value != value))  # noqa: PLR0124 - as NaN


# ---- Arrays ----


def null_count(column: Any) -> int:
    """Returns how many values of an array, or chunked array, are null: in a union, those whose
    child has a null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_union(column.type):
        return int(column.null_count)
    return int(pc.count(column, mode="only_null").as_py())


def flattened(lists: Any) -> Any:
    """Returns the values in an array of lists, without those that nulls and gaps hide. Raises what
    pyarrow does for encodings that it cannot flatten.

    Of no lists at all, the first offset may be any number, as in files that Arrow writes. pyarrow
    ends the process where it looks for a value there.
    """
    return lists.flatten() if len(lists) else lists.values.slice(0, 0)


def has_unions(type_: Any) -> bool:
    """Returns True for unions, and for types that hold some."""
    import pyarrow as pa

    return pa.types.is_union(type_) or any(
        has_unions(type_.field(index).type) for index in range(type_.num_fields)
    )


def is_hollow(type_: Any) -> bool:
    """Returns True for unions without fields, and for types that hold some: pyarrow ends the
    process when it makes arrays of them.
    """
    import pyarrow as pa

    if pa.types.is_union(type_) and not type_.num_fields:
        return True
    return any(is_hollow(type_.field(index).type) for index in range(type_.num_fields))


def array_of(values: Sequence[Any], type_: Any) -> Any:
    """Returns checked values as an array. Those of unions are ``Chosen``, or None.

    >>> import pyarrow as pa
    >>> union = pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())])
    >>> array_of([[Chosen(1, "x"), None], None], pa.list_(union)).to_pylist()
    [['x', None], None]
    """
    import pyarrow as pa

    if not has_unions(type_):
        return pa.array(values, type_)
    if pa.types.is_union(type_):
        return _union_of(values, type_)
    valid = pa.array([value is not None for value in values], pa.bool_())
    bitmap = valid.buffers()[1] if valid.false_count else None
    if pa.types.is_struct(type_):
        return _array(type_, [bitmap], _columns_of_structs(values, type_), len(values))
    if pa.types.is_fixed_size_list(type_):
        absent = [None] * type_.list_size
        flat = itertools.chain(*(absent if value is None else value for value in values))
        return _array(type_, [bitmap], [array_of(list(flat), type_.value_type)], len(values))
    lengths = [0 if value is None else len(value) for value in values]
    flat = itertools.chain(*(value for value in values if value is not None))
    width = pa.int64() if pa.types.is_large_list(type_) else pa.int32()
    offsets = pa.array([0, *itertools.accumulate(lengths)], width).buffers()[1]
    entries = type_.field(0).type
    if pa.types.is_map(type_):
        pairs = list(flat)
        held = [array_of([pair[i] for pair in pairs], entries.field(i).type) for i in (0, 1)]
        items = _array(entries, [None], held, len(pairs))
    else:
        items = array_of(list(flat), entries)
    return _array(type_, [bitmap, offsets], [items], len(values))


def _array(type_: Any, buffers: list[Any], children: list[Any], rows: int) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(type_, rows, buffers, -1 if buffers[0] else 0, 0, children)


def _columns_of_structs(values: Sequence[Any], type_: Any) -> list[Any]:
    columns = []
    for index in range(type_.num_fields):
        field = type_.field(index)
        column = [
            None
            if value is None
            else value[field.name]
            if isinstance(value, dict)
            else value[index][1]  # pairs of name and value
            for value in values
        ]
        columns.append(array_of(column, field.type))
    return columns


def _union_of(values: Sequence[Chosen | None], type_: Any) -> Any:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    held: list[list[Any]] = [[] for _ in fields]
    indices = []
    for value in values:
        index, each = Chosen(0, None) if value is None else value
        indices.append(index)
        held[index].append(each)
    children = [array_of(each, field.type) for each, field in zip(held, fields, strict=True)]
    return union_of(indices, children, type_)


def union_of(indices: Sequence[int], children: Sequence[Any], type_: Any) -> Any:
    """Returns a union of rows that belong to a child each, given by its index. A child has the
    values of its rows alone.
    """
    import pyarrow as pa

    counts = [0] * len(children)
    offsets = []
    for index in indices:
        offsets.append(counts[index])
        counts[index] += 1
    codes = pa.array([type_.type_codes[index] for index in indices], pa.int8()).buffers()[1]
    if type_.mode == "dense":
        places = pa.array(offsets, pa.int32()).buffers()[1]
        return _array(type_, [None, codes, places], list(children), len(indices))
    whole = []
    for child_index, child in enumerate(children):
        rows = [
            offset if index == child_index else None
            for index, offset in zip(indices, offsets, strict=True)
        ]
        whole.append(child.take(pa.array(rows, pa.int64())))
    return _array(type_, [None, codes], whole, len(indices))


def parts_of(array: Any) -> list[tuple[Any, Any]]:
    """Returns, for each child of a union, the rows that belong to it, and its values in them.

    >>> import pyarrow as pa
    >>> union = pa.UnionArray.from_sparse(
    ...     pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])]
    ... )
    >>> [(rows.to_pylist(), values.to_pylist()) for rows, values in parts_of(union[1:])]
    [([1], [3]), ([0], ['b'])]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def numbers(type_: pa.DataType, buffer: int) -> pa.Array:
        """``type_codes`` and ``offsets`` of pyarrow are wrong for slices."""
        held = [None, array.buffers()[buffer]]
        return pa.Array.from_buffers(type_, len(array), held, 0, array.offset)

    parts = []
    codes = numbers(pa.int8(), 1)
    offsets = numbers(pa.int32(), 2) if array.type.mode == "dense" else None
    for index, code in enumerate(array.type.type_codes):
        rows = pc.indices_nonzero(pc.equal(codes, code))
        places = rows if offsets is None else offsets.take(rows)
        parts.append((rows, _rows_of(array.field(index), places)))
    return parts


def _rows_of(child: Any, places: Any) -> Any:
    import pyarrow as pa

    try:
        return taken(child, places)
    except pa.ArrowNotImplementedError:
        return rows_singly(child, places.to_pylist())


def taken(array: Any, rows: Any) -> Any:
    """Returns the values of rows, by their indices or null; those of runs decoded, of which pyarrow
    cannot take any.
    """
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType):
        return taken(array.storage, rows)
    if not pa.types.is_run_end_encoded(array.type):
        return array.take(rows)
    return taken(array.values, run_indices(array).take(rows))


def run_indices(array: Any) -> Any:
    """Returns the index of each row's value among the values of runs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    indices = pa.array(range(len(array.run_ends)), pa.int64())
    runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, indices)
    return pc.run_end_decode(runs.slice(array.offset, len(array)))


def rows_singly(array: Any, rows: Iterable[int]) -> Any:
    """Returns some rows of an array of which Arrow takes none: of views, runs and what holds these.

    >>> import pyarrow as pa
    >>> rows_singly(pa.array(["a", "b", "c"], pa.string_view()), [0, 1, 1]).to_pylist()
    ['a', 'b', 'b']
    """
    import pyarrow as pa

    return pa.concat_arrays([array.slice(0, 0), *(array.slice(row, 1) for row in rows)])
