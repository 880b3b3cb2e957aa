"""Columns of views of text or bytes, which a stranger sent: several views may be of the same bytes,
so a few may stand for many. They are read as columns that have each text once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.static_typing import Final

_VIEW: Final = 16  # bytes
_ALIGNMENT: Final = 8


def is_view(type_: pa.DataType) -> bool:
    """Whether a type is of views of text or bytes."""
    return bool(pa.types.is_string_view(type_) or pa.types.is_binary_view(type_))


def view_column(type_: pa.DataType, rows: int, buffers: Sequence[pa.Buffer], most: int) -> pa.Array:
    """Returns the texts or bytes of so many views, in memory of their own: a column of
    ``large_string`` or ``large_binary``, valid for every use. All together have at most so many
    bytes.

    Raises ValueError or pyarrow.ArrowException for buffers that are not those of views.
    """
    decoded = pa.large_string() if pa.types.is_string_view(type_) else pa.large_binary()
    if not rows:
        return pa.nulls(0, decoded)
    validity, views, *data = buffers
    if views.size < _VIEW * rows or views.address % _ALIGNMENT:
        raise ValueError(f"a buffer of {views.size} bytes where {_VIEW * rows} are needed")
    bits = (rows + 7) // 8
    if 0 < validity.size < bits:
        raise ValueError(f"a buffer of {validity.size} bytes where {bits} are needed")
    known = validity.slice(0, bits) if validity.size else None
    views = views.slice(0, _VIEW * rows)
    if known is not None:
        # Nobody validates what is behind a null, and a cast reads it.
        all_views = pa.Array.from_buffers(pa.binary(_VIEW), rows, [known, views], -1)
        views = all_views.fill_null(bytes(_VIEW)).buffers()[1]
    found = pa.Array.from_buffers(type_, rows, [known, views, *data], -1)
    found.validate(full=True)
    if _length(views, rows) > most:
        raise ValueError(f"its views stand for more than {most} bytes: send the values")
    return found.cast(decoded)


def _length(views: pa.Buffer, rows: int) -> int:
    """Returns how many bytes so many views have, all together."""
    words = pa.Array.from_buffers(pa.int32(), rows * 4, [None, views])
    lengths: pa.Array = pc.list_element(pa.FixedSizeListArray.from_arrays(words, 4), 0)
    return pc.sum(lengths.cast(pa.int64())).as_py() or 0
