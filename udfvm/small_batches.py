"""Small batches of numpy arrays of numbers: the shortest way to a call.

An exit from a VM leaves the processor cold, so for a batch of a thousand numbers, which a body works through in a few microseconds, the
host pays by the amount of code and data that it touches between two calls, whatever these do. Here that is as little as Python can do.
Whatever is not of the plainest kind is left to ``number_batches``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from udfvm.ipc import NumberCodec, NumberLayout

LARGEST: Final = 1 << 18                         # bytes of a request; above, what is saved here does not matter


class SmallBatches:
    """Requests from numpy arrays and results as numpy arrays, for one signature of integers and floats."""

    def __init__(self, codec: NumberCodec, dtypes: Sequence[np.dtype[Any]]) -> None:
        """``dtypes`` are the types of the parameters and, last, of the result."""
        self._codec = codec
        self._dtypes = tuple(dtypes[:-1])
        self._result = dtypes[-1]
        self._ndarray = np.ndarray               # as attributes: no module is looked up
        self._frombuffer = np.frombuffer

    def layout(self, arguments: Sequence[Any]) -> NumberLayout | None:
        """The layout of the request, if all arguments are contiguous arrays of the declared types and of one length, neither empty nor
        large; else None."""
        rows = 0
        for argument, dtype in zip(arguments, self._dtypes, strict=True):
            if type(argument) is not self._ndarray or argument.dtype is not dtype or argument.ndim != 1:
                return None
            if (rows and len(argument) != rows) or not argument.flags.c_contiguous:
                return None
            rows = len(argument)
        if not 0 < rows <= LARGEST:
            return None
        layout = self._codec.layout(rows)
        return layout if layout.request_length <= LARGEST else None

    def request(self, layout: NumberLayout, arguments: Sequence[Any]) -> bytes:
        """The request."""
        return self._codec.request(layout, arguments)

    def result(self, reply: bytearray, layout: NumberLayout) -> np.ndarray[Any, Any] | None:
        """The numbers of a reply, in place; None where it is not one of numbers without nulls."""
        if len(reply) == layout.reply_length and reply.startswith(layout.reply_head):
            return self._frombuffer(reply, self._result, layout.rows, layout.reply_data)
        begin = self._codec.data_of(reply, layout)
        return None if begin is None else self._frombuffer(reply, self._result, layout.rows, begin)
