"""Small batches of numpy arrays of numbers: the shortest way to a call.

An exit from a VM leaves the processor cold, so for a batch of a thousand numbers, which a body
works through in a few microseconds, the host pays by the amount of code and data that it touches
between two calls, whatever these do. So such calls are made in C (``fast_path.c``). Here is what
that needs, and what it leaves to Python: all other arguments and replies, and all failures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from udfvm.call._fast_path import SmallCalls
from udfvm.codec.containers import to_numpy
from udfvm.errors import ForkedError
from udfvm.vmm import exception_at

if TYPE_CHECKING:
    from udfvm.call.runtime import Runtime
    from udfvm.codec.fixed_width import NumberBatches
    from udfvm.codec.number_streams import NumberCodec, NumberLayout
    from udfvm.codec.record_batches import BatchCodec

#: Makes a call again that failed in a forked child: (the failure, its runtime, arguments).
CallAgain = Callable[[ForkedError, "Runtime", tuple[Any, ...]], Any]

MAX_REQUEST: Final = 1 << 18  # bytes of a request; above, what is saved here does not matter


def small_batches(
    batches: NumberBatches,
    name: str,
    runtime: Runtime,
    call_again: CallAgain,
) -> SmallBatches | None:
    """The shorter way for small numpy arrays; None where the function's types do not allow it."""
    codecs = batches.numpy_codecs()
    return None if codecs is None else SmallBatches(name, *codecs, runtime, call_again)


class SmallBatches:
    """Calls with numpy arrays for one signature of integers and floats, while a runtime lasts."""

    def __init__(
        self,
        name: str,
        codec: BatchCodec,
        numbers: NumberCodec,
        dtypes: Sequence[np.dtype[Any]],
        runtime: Runtime,
        call_again: CallAgain,
    ) -> None:
        """``dtypes`` are the types of the parameters and, last, of the result. ``call_again`` makes
        a call again in a forked child.
        """
        self._name = name
        self._codec = codec
        self._numbers = numbers
        self._result = dtypes[-1]
        self._runtime = runtime  # or the image and the limits would go
        self._call_again = call_again
        formats = "".join({"q": "l", "Q": "L"}.get(dtype.char, dtype.char) for dtype in dtypes[:-1])
        addresses = runtime.pool.address, runtime.image.address, runtime.limits_address
        calls = SmallCalls(
            np.ndarray,
            np.frombuffer,
            formats,
            self._result,
            runtime.pool,
            self,
            *addresses,
            runtime.pool.wait_ns,
        )
        # The result for a tuple of arguments; NotImplemented: to be called in another way.
        self.call: Final = calls.call

    # ---- What the calls leave to Python ----

    def layout(self, rows: int) -> NumberLayout | None:
        """Returns the layout of batches of so many rows; None where they are not small."""
        if rows > MAX_REQUEST:
            return None
        layout = self._numbers.layout(rows)
        return layout if layout.request_length <= MAX_REQUEST else None

    def read(self, status: int, reply: bytearray, layout: NumberLayout) -> np.ndarray[Any, Any]:
        """Returns the result in a reply that is not one of numbers without nulls at the usual
        place. Raises what the function raised.
        """
        if status:
            from udfvm.vmm import guest_error

            raise guest_error.parse(memoryview(reply), self._name, 0, layout.rows)
        data = self._codec.numbers_in(memoryview(reply), layout.rows)
        if data is not None:
            return np.frombuffer(reply, self._result, layout.rows, data.start)
        return to_numpy(self._name, self._codec.read(bytes(reply), layout.rows))

    def failed(self, error: int, arguments: tuple[Any, ...]) -> Any:
        """The call failed: raises what the ``struct udfvm_error`` at an address says, or makes the
        call in another way.
        """
        failure = exception_at(error, self._name)
        if isinstance(failure, ForkedError):
            return self._call_again(failure, self._runtime, arguments)
        raise failure
