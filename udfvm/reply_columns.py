"""The column in a reply: arrays over the places that a record batch's metadata name. All of these are the guest's word.

Nodes and buffers come in the order in which Arrow lays out nested columns: a column's own, then its children's, one after the other
(arrow.apache.org/docs/format/Columnar.html, "Recordbatch message").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa


class Places(NamedTuple):
    """What the metadata of a record batch of one column say."""

    rows: int
    nodes: list[tuple[int, int]]                 # rows and nulls
    buffers: list[tuple[int, int]]               # offset and length


def column_of(type_: pa.DataType, rows: int, places: Places, reply: pa.Buffer, body: int) -> pa.Array:
    """The column, which must be of so many rows, as views of the reply, whose buffers are from ``body`` on; to be validated.

    Raises ValueError where there are not as many nodes and buffers as the type has, or one lies outside of the reply.
    """
    nodes, buffers = _count(type_)
    if len(places.nodes) != nodes:
        raise ValueError(f"it has {len(places.nodes)} columns where there is {nodes}")
    if places.rows != rows or places.nodes[0][0] != rows:
        raise ValueError(f"it has {places.rows} rows where the request had {rows}")
    if len(places.buffers) != buffers:
        raise ValueError(f"it has {len(places.buffers)} buffers where the type has {buffers}")
    slices = [_slice(reply, body, offset, length) for offset, length in places.buffers]
    return _array(type_, iter(places.nodes), iter(slices))


def _count(type_: pa.DataType) -> tuple[int, int]:
    """Nodes and buffers of a type."""
    nodes, buffers = 1, _own_buffers(type_)
    for child in _children(type_):
        more = _count(child)
        nodes, buffers = nodes + more[0], buffers + more[1]
    return nodes, buffers


def _own_buffers(type_: pa.DataType) -> int:
    if pa.types.is_null(type_):
        return 0
    return int(type_.num_buffers)


def _children(type_: pa.DataType) -> Sequence[pa.DataType]:
    return [type_.field(index).type for index in range(type_.num_fields)]


def _slice(reply: pa.Buffer, body: int, offset: int, length: int) -> pa.Buffer:
    room = reply.size - body
    if not (0 <= offset <= room and 0 <= length <= room - offset):
        raise ValueError("a buffer lies outside of the reply")
    return reply.slice(body + offset, length)


def _array(type_: pa.DataType, nodes: Iterator[tuple[int, int]], slices: Iterator[pa.Buffer]) -> pa.Array:
    rows = next(nodes)[0]
    if rows < 0:
        raise ValueError("a column of it has fewer than no rows")
    if pa.types.is_null(type_):
        return pa.nulls(rows, type_)
    buffers: list[pa.Buffer | None] = [next(slices) for _ in range(_own_buffers(type_))]
    nullable = buffers[0] is not None and buffers[0].size > 0
    if not nullable:
        buffers[0] = None                        # no bitmap: no nulls
    children = [_array(child, nodes, slices) for child in _children(type_)]
    wanted = rows if pa.types.is_struct(type_) else rows * type_.list_size if pa.types.is_fixed_size_list(type_) else None
    if wanted is not None and any(len(child) != wanted for child in children):
        raise ValueError(f"a column in a {type_} has not the {wanted} rows that go with it")
    return pa.Array.from_buffers(type_, rows, buffers, -1 if nullable else 0, 0, children or None)
