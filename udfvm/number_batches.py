"""Batches of numpy arrays of numbers: the way around pyarrow.

For small batches the pages of memory that a library touches cost more than what it does: after each exit from a VM the processor finds its
caches and translations gone. So arrays that are already stored as they travel are copied as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from udfvm.ipc import NumberCodec

if TYPE_CHECKING:
    from udfvm.ipc import BatchCodec, NumberLayout


class NumberBatches:
    """Requests from numpy arrays and results as numpy arrays, for one signature."""

    def __init__(self, codec: BatchCodec) -> None:
        types = [*codec.schema.types, *codec.result_schema.types]
        self._codec = NumberCodec(codec) if codec.schema.types and all(map(NumberCodec.takes, types)) else None
        if self._codec is not None:
            *self._types, self._result = (np.dtype(_numpy_name(type_)) for type_ in types)

    def takes(self, arguments: Sequence[object]) -> bool:
        """Whether the arguments are arrays, not empty, of one length, stored as the declared types are."""
        if self._codec is None:
            return False
        rows = 0
        for argument, type_ in zip(arguments, self._types, strict=True):
            if type(argument) is not np.ndarray or argument.dtype != type_ or argument.ndim != 1 or not argument.flags.c_contiguous:
                return False
            if rows and len(argument) != rows:
                return False
            rows = len(argument)
        return rows > 0

    def layout(self, rows: int) -> NumberLayout:
        """The layout for so many rows."""
        return cast(NumberCodec, self._codec).layout(rows)

    def write(self, window: memoryview, layout: NumberLayout, arguments: Sequence[np.ndarray[Any, Any]]) -> None:
        """Writes the request."""
        NumberCodec.write(window, layout, [argument.view(np.uint8).data for argument in arguments])

    def read(self, reply: bytes, layout: NumberLayout) -> np.ndarray[Any, Any] | None:
        """The result in a reply; None where it is not one of numbers without nulls."""
        if not NumberCodec.is_plain(reply, layout):
            return None
        return np.frombuffer(reply, self._result, layout.rows, layout.reply_data).copy()


def _numpy_name(type_: pa.DataType) -> str:
    """The name of the numpy type that is stored like an Arrow type."""
    if pa.types.is_timestamp(type_):
        return f"datetime64[{type_.unit}]"
    return {"float": "float32", "double": "float64"}.get(str(type_), str(type_))
