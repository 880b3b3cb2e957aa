"""Ordered dictionaries of results: they have the order of an argument, which their values cannot
tell. Low, middle and high are no alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss, Refused
from udfvm.types.encodings import decoded


def orders_among(arguments: Sequence[object], type_: pa.DataType) -> list[pa.Array]:
    """Returns the values of the ordered dictionaries among arguments, in their order, as a result
    of a type may have them: none unless that is an ordered dictionary. Chunks of an argument that
    have different dictionaries have no order in common.

    >>> low_first = pa.DictionaryArray.from_arrays([0], ["low", "high"], ordered=True)
    >>> [values.to_pylist() for values in orders_among([low_first, 1], low_first.type)]
    [['low', 'high']]
    """
    if not pa.types.is_dictionary(type_) or not type_.ordered:
        return []
    plain, found = decoded(type_), list[pa.Array]()
    for argument in arguments:
        if not isinstance(argument, (pa.Array, pa.ChunkedArray)):
            continue
        if not pa.types.is_dictionary(argument.type) or not argument.type.ordered:
            continue
        chunks = argument.chunks if isinstance(argument, pa.ChunkedArray) else [argument]
        values = [chunk.dictionary for chunk in chunks[:1]]
        if not values or values[0].null_count:
            continue
        if not all(chunk.dictionary.equals(values[0]) for chunk in chunks[1:]):
            continue
        try:
            found.append(convert(values[0], plain))
        except (Loss, Refused):  # of another type
            continue
    return found
