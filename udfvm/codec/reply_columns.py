"""Columns in replies: arrays over the buffers that a record batch's metadata name. All of that is
the guest's word.

Nodes and buffers come in the order in which Arrow lays out nested columns: a column's own, then its
children's, one after the other (arrow.apache.org/docs/format/Columnar.html, "Recordbatch message").

``validate(full=True)`` alone does not make a column safe for everybody: it reads no offset of a
column without rows, while others do. So nothing of a reply is handed on but buffers that are known
to be right: columns without rows are made here, buffers are cut to what their column needs and lie
at multiples of 8 bytes, and text behind a null, which nobody looked at, is left out.

Nulls, and structs without fields, take no bytes: a tiny reply could claim any number of them in its
lists. So there is a bound for these, which grows with the bytes of the reply.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.codec.bounds import check_bounds
from udfvm.codec.messages import BatchMetadata
from udfvm.codec.view_columns import is_view, view_column
from udfvm.static_typing import Final

_ALIGNMENT: Final = 8  # bytes; the widest value of a buffer
_VIEW_BUFFERS: Final = 2  # validity and views, of a column of views
_MAX_VALUES_WITHOUT_BYTES: Final = 2**20  # in lists, and so many more for each byte of the reply:
_VALUES_FOR_A_BYTE: Final = 64


def column_of(
    type_: pa.DataType, rows: int, metadata: BatchMetadata, reply: pa.Buffer, body: int
) -> pa.Array:
    """Returns the column, which must be of so many rows, as views of the reply, whose buffers are
    from ``body`` on; valid for every use.

    Raises ValueError where there are not as many nodes and buffers as the type has, where one lies
    outside of the reply or is too small, and for values that the type has not.
    """
    nodes, buffers = _count(type_)
    if len(metadata.nodes) != nodes:
        raise ValueError(f"it has {len(metadata.nodes)} columns where there is {nodes}")
    if metadata.rows != rows or metadata.nodes[0][0] != rows:
        raise ValueError(f"it has {metadata.rows} rows where the request had {rows}")
    if len(metadata.buffers) != buffers:
        raise ValueError(f"it has {len(metadata.buffers)} buffers where the type has {buffers}")
    slices = [_slice(reply, body, offset, length) for offset, length in metadata.buffers]
    bound = _MAX_VALUES_WITHOUT_BYTES + _VALUES_FOR_A_BYTE * reply.size
    return checked(_array(type_, iter(metadata.nodes), iter(slices), bound))


def columns_of_batch(
    types: Sequence[pa.DataType],
    metadata: BatchMetadata,
    data: pa.Buffer,
    view_counts: Sequence[int],
    most: int,
) -> list[pa.Array]:
    """Returns the columns of a record batch whose body is ``data``, as views of it; valid for every
    use. Columns of views of text and bytes are copies without views; each has at most so many
    bytes. ``view_counts`` says how many buffers of data each of these has.

    Raises ValueError or pyarrow.ArrowException as ``column_of`` does.
    """
    nodes, buffers, counts = iter(metadata.nodes), iter(metadata.buffers), iter(view_counts)
    columns = []
    for type_ in types:
        node_count, buffer_count = _count(type_)
        if is_view(type_):
            buffer_count = _VIEW_BUFFERS + max(0, next(counts, 0))
        part = BatchMetadata(
            metadata.rows,
            list(itertools.islice(nodes, node_count)),
            list(itertools.islice(buffers, min(buffer_count, len(metadata.buffers)))),
        )
        if part.nodes and part.nodes[0][0] != metadata.rows:
            raise ValueError(f"it has {metadata.rows} rows, and a column of it {part.nodes[0][0]}")
        if not is_view(type_):
            columns.append(column_of(type_, metadata.rows, part, data, 0))
            continue
        if not part.nodes or len(part.buffers) != buffer_count:
            raise ValueError("it has fewer columns or buffers than its schema")
        slices = [_slice(data, 0, offset, length) for offset, length in part.buffers]
        columns.append(view_column(type_, metadata.rows, slices, most))
    if next(nodes, None) is not None or next(buffers, None) is not None:
        raise ValueError("it has more columns or buffers than its schema")
    return columns


def checked(array: pa.Array) -> pa.Array:
    """Returns an array whose buffers a guest filled, valid for every use. Its buffers are as large
    as it needs. Raises ValueError.
    """
    array.validate(full=True)
    return (
        array if _is_compact(array) else array.take(pc.indices_nonzero(pa.repeat(True, len(array))))
    )


def empty(type_: pa.DataType) -> pa.Array:
    """Returns a column without rows."""
    return pa.nulls(0, type_)


def _is_compact(array: pa.Array) -> bool:
    """Whether offsets begin at 0, and nulls hold nothing."""
    if not len(array) or not _has_offsets_or_children(array.type):
        return True
    if _has_offsets(array.type):
        offsets = _offsets(array)
        if offsets[0].as_py():
            return False
        if array.null_count:
            nulls = pc.indices_nonzero(array.is_null())
            if not offsets.take(nulls).equals(offsets.slice(1).take(nulls)):
                return False
    return all(map(_is_compact, _child_arrays(array)))


def _has_offsets_or_children(type_: pa.DataType) -> bool:
    return _has_offsets(type_) or type_.num_fields > 0


def _has_offsets(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_map(type_)
        or pa.types.is_string(type_)
        or pa.types.is_binary(type_)
        or _has_64_bit_offsets(type_)
    )


def _has_64_bit_offsets(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_large_list(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_large_binary(type_)
    )


def _offsets(array: pa.Array) -> pa.Array:
    offset_type = pa.int64() if _has_64_bit_offsets(array.type) else pa.int32()
    return pa.Array.from_buffers(offset_type, len(array) + 1, [None, array.buffers()[1]], 0)


def _is_dense(type_: pa.DataType) -> bool:
    return bool(pa.types.is_union(type_) and type_.mode == "dense")


def _is_without_bytes(type_: pa.DataType) -> bool:
    """Whether a tiny reply may have any number of values of a type: they take no bytes."""
    if pa.types.is_fixed_size_list(type_):
        return type_.list_size == 0
    return bool(pa.types.is_null(type_) or (pa.types.is_struct(type_) and not type_.num_fields))


def _child_arrays(array: pa.Array) -> list[pa.Array]:
    if pa.types.is_struct(array.type) or pa.types.is_union(array.type):
        return [array.field(index) for index in range(array.type.num_fields)]
    return [array.values] if array.type.num_fields else []


def _count(type_: pa.DataType) -> tuple[int, int]:
    """Nodes and buffers of a type."""
    nodes, buffers = 1, _buffer_count(type_)
    for child in _children(type_):
        more = _count(child)
        nodes, buffers = nodes + more[0], buffers + more[1]
    return nodes, buffers


def _buffer_count(type_: pa.DataType) -> int:
    if pa.types.is_null(type_):
        return 0
    return int(type_.num_buffers) - pa.types.is_union(type_)  # which has no bitmap


def _children(type_: pa.DataType) -> Sequence[pa.DataType]:
    return [type_.field(index).type for index in range(type_.num_fields)]


def _slice(reply: pa.Buffer, body: int, offset: int, length: int) -> pa.Buffer:
    check_bounds(offset, length, reply.size - body)
    return reply.slice(body + offset, length)


def _array(
    type_: pa.DataType,
    nodes: Iterator[tuple[int, int]],
    slices: Iterator[pa.Buffer],
    bound: int,
    free: bool = False,
) -> pa.Array:
    """Returns a column of the reply. ``free``: the request does not say how many rows it has; of
    values that take no bytes, there are at most ``bound`` then.
    """
    rows = next(nodes)[0]
    if rows < 0:
        raise ValueError("a column of it has fewer than no rows")
    if free and rows > bound and _is_without_bytes(type_):
        raise ValueError(f"{rows} values of type {type_} in its lists")
    if pa.types.is_null(type_):
        return pa.nulls(rows, type_)
    found = [next(slices) for _ in range(_buffer_count(type_))]
    within_lists = free or _has_offsets(type_) or _is_dense(type_)
    children = [_array(child, nodes, slices, bound, within_lists) for child in _children(type_)]
    if not rows:
        if _has_offsets(type_) and found[1].size:
            _offsets_of(type_, 0, found, children)
        return empty(type_)  # whatever its children hold
    if pa.types.is_map(type_):
        _check_entries(children[0])
    _check_lengths(type_, rows, children)
    if pa.types.is_union(type_):  # whose codes and offsets are validated with the whole column
        buffers = [None, _cut(found[0], rows), *(_cut(each, 4 * rows) for each in found[1:])]
    else:
        buffers = _buffers(type_, rows, found, children)
    return pa.Array.from_buffers(
        type_, rows, buffers, 0 if buffers[0] is None else -1, 0, children or None
    )


def _check_lengths(type_: pa.DataType, rows: int, children: Sequence[pa.Array]) -> None:
    """Raises ValueError where children have not as many rows as those of their parent need."""
    if pa.types.is_fixed_size_list(type_):
        wanted = rows * type_.list_size
    elif _has_offsets(type_) or _is_dense(type_):
        return
    else:
        wanted = rows
    if any(len(child) != wanted for child in children):
        raise ValueError(f"a column in a {type_} has not the {wanted} rows that go with it")


def _check_entries(entries: pa.Array) -> None:
    if entries.null_count or entries.field(0).null_count:
        raise ValueError("a map of it has an entry or a key that is null")


def _buffers(
    type_: pa.DataType, rows: int, found: Sequence[pa.Buffer], children: Sequence[pa.Array]
) -> list[pa.Buffer | None]:
    """Returns the buffers of a column of some rows, each as long as it has to be. No bitmap: no
    nulls.
    """
    bits = (rows + 7) // 8
    buffers: list[pa.Buffer | None] = [_cut(found[0], bits) if found[0].size else None]
    if _has_offsets(type_):
        offsets, last = _offsets_of(type_, rows, found, children)
        buffers.append(offsets)
        if not children:
            buffers.append(found[2].slice(0, last))  # bytes: they may lie anywhere
    elif len(found) > 1:
        buffers.append(
            _cut(found[1], bits if pa.types.is_boolean(type_) else rows * (type_.bit_width // 8))
        )
    return buffers


def _offsets_of(
    type_: pa.DataType, rows: int, found: Sequence[pa.Buffer], children: Sequence[pa.Array]
) -> tuple[pa.Buffer, int]:
    """Returns the offsets of a column, and the last of them, which leads to where there is
    something; those before it are to be validated.
    """
    width = 8 if _has_64_bit_offsets(type_) else 4
    offsets = _cut(found[1], (rows + 1) * width)
    last = int.from_bytes(offsets[rows * width : (rows + 1) * width], "little", signed=True)
    if not 0 <= last <= (len(children[0]) if children else found[2].size):
        raise ValueError("its offsets lead out of what they point into")
    return offsets, last


def _cut(buffer: pa.Buffer, length: int) -> pa.Buffer:
    if buffer.size < length:
        raise ValueError(f"a buffer of {buffer.size} bytes where {length} are needed")
    if buffer.address % _ALIGNMENT:
        raise ValueError(f"a buffer is not at a multiple of {_ALIGNMENT} bytes")
    return buffer.slice(0, length)
