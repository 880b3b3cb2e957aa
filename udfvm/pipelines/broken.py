"""Columns of callers whose buffers contradict each other. Arrow trusts them, and may end the
process where it takes rows of them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


class Checker:
    """Looks at the batches of a column. What several of them share, such as a dictionary, or the
    values of lists that were cut, is looked at once.
    """

    def __init__(self) -> None:
        self._sound: dict[tuple[int, ...], pa.Array] = {}  # by place in the type

    def damage(self, column: pa.Array) -> str:
        """Returns what is wrong with the buffers of a column; nothing for one that is sound. Bytes
        that are no text are no damage: they concern the rows alone that have them.

        >>> offsets, text = pa.py_buffer(bytes([0] * 4 + [9] + [0] * 7)), pa.py_buffer(b"abc")
        >>> Checker().damage(pa.Array.from_buffers(pa.string(), 2, [None, offsets, text]))
        'Offset invariant failure: offset for slot 1 out of bounds: 9 > 3'
        >>> Checker().damage(pa.array([b"\\xff"]).view(pa.string()))
        ''
        """
        try:
            self._check(column, ())
        except (pa.ArrowInvalid, pa.ArrowIndexError) as error:
            return str(error)
        return ""

    def _check(self, array: Any, place: tuple[int, ...]) -> None:
        """Raises pyarrow.ArrowInvalid or ArrowIndexError for a column that is not sound."""
        while isinstance(array, pa.ExtensionArray):
            array = array.storage
        type_ = array.type
        if pa.types.is_struct(type_):
            array.validate()
            for index in range(type_.num_fields):
                self._check(array.field(index), (*place, index))
        elif _is_list(type_):
            _hollow(array).validate(full=True)
            self._check_once(array.values, place)
        elif pa.types.is_dictionary(type_):
            # Raises for indices that are out of bounds.
            pa.DictionaryArray.from_arrays(array.indices, pa.nulls(len(array.dictionary)))
            self._check_once(array.dictionary, place)
        else:
            _check_leaf(array)

    def _check_once(self, shared: pa.Array, place: tuple[int, ...]) -> None:
        before = self._sound.get(place)
        if before is None or not _are_same(before, shared):
            self._check(shared, (*place, 0))
            self._sound[place] = shared


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_list_view(type_)
        or pa.types.is_large_list_view(type_)
        or pa.types.is_fixed_size_list(type_)
        or pa.types.is_map(type_)
    )


def _hollow(array: Any) -> pa.Array:
    """Returns lists with nulls in the place of what they hold. Raises pyarrow.ArrowInvalid."""
    type_, values = array.type, pa.nulls(len(array.values))
    if pa.types.is_fixed_size_list(type_):
        hollow: pa.DataType = pa.list_(pa.null(), type_.list_size)
    elif pa.types.is_large_list(type_):
        hollow = pa.large_list(pa.null())
    elif pa.types.is_list_view(type_):
        hollow = pa.list_view(pa.null())
    elif pa.types.is_large_list_view(type_):
        hollow = pa.large_list_view(pa.null())
    else:
        hollow = pa.list_(pa.null())
    own = array.buffers()[: hollow.num_buffers]
    return pa.Array.from_buffers(hollow, len(array), own, -1, array.offset, [values])


def _are_same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays are the same part of the same buffers. Those of dictionaries in them are
    not compared.
    """
    if one.offset != other.offset or len(one) != len(other) or "dictionary" in str(one.type):
        return False
    buffers = zip(one.buffers(), other.buffers(), strict=True)
    return one.type == other.type and all(
        (a is None and b is None)
        or (a is not None and b is not None and (a.address, a.size) == (b.address, b.size))
        for a, b in buffers
    )


def _check_leaf(array: Any) -> None:
    """Raises pyarrow.ArrowInvalid for an array that is not sound."""
    as_bytes = {
        "string": pa.binary(),
        "large_string": pa.large_binary(),
        "string_view": pa.binary_view(),
    }.get(str(array.type))
    if as_bytes is not None:
        array = array.view(as_bytes)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):  # of text in runs and unions
            raise
