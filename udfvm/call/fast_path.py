"""Small batches of arrays of numbers, of numpy or pyarrow: the shortest way to a call.

An exit from a VM leaves the processor cold, so for a batch of a thousand numbers, which a body
works through in a few microseconds, the host pays by the amount of code and data that it touches
between two calls, whatever these do. So such calls are made in C (``fast_path.c``). Here is what
that needs, and what it leaves to Python: all other arguments and replies, and all failures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pyarrow as pa

from udfvm.call._fast_path import SmallCalls
from udfvm.codec.containers import to_numpy
from udfvm.errors import CallError, CallTimeoutError, ForkedError, TypeMappingError, hides_frames
from udfvm.limits import WINDOW
from udfvm.types.numpy_conversions import numpy_type
from udfvm.vmm import exception_at

if TYPE_CHECKING:
    import numpy as np

    from udfvm.call.runtime import Runtime
    from udfvm.codec.fixed_width import NumberBatches
    from udfvm.codec.number_streams import NumberCodec, NumberLayout
    from udfvm.codec.record_batches import BatchCodec

#: Makes a call again that failed in a forked child: (the failure, its runtime, arguments).
CallAgain = Callable[[ForkedError, "Runtime", tuple[Any, ...]], Any]

# Bytes of a request: 32 Ki rows of 8 bytes, which Arrow cuts batches into, and their head. Above,
# what is saved here does not matter, and the request would be memory that is new in each call.
MAX_REQUEST: Final = (1 << 18) + (1 << 12)


# Characters of the struct module, by types of Arrow.
_FORMATS: Final = {
    **dict(zip((f"int{bits}" for bits in (8, 16, 32, 64)), "bhil", strict=True)),
    **dict(zip((f"uint{bits}" for bits in (8, 16, 32, 64)), "BHIL", strict=True)),
    "float": "f",
    "double": "d",
}


def small_batches(
    batches: NumberBatches,
    name: str,
    parameters: Sequence[str],
    runtime: Runtime,
    call_again: CallAgain,
) -> SmallBatches:
    """The shorter way for small arrays of types that have it. ``parameters`` are names."""
    return SmallBatches(name, parameters, *batches.small_codecs(), runtime, call_again)


class SmallBatches:
    """Calls with arrays for one signature of integers and floats, while a runtime lasts.

    Attributes:
        call: the result for a tuple of arguments; NotImplemented: to be called in another way.
        calls: makes them; Arrow's kernels call it without Python code (``column_calls.c``).
        has_numpy: numpy was loaded, so that its arrays are taken.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[str],
        codec: BatchCodec,
        numbers: NumberCodec,
        runtime: Runtime,
        call_again: CallAgain,
    ) -> None:
        """``call_again`` makes a call again in a forked child."""
        self._name = name
        self._parameters = parameters
        self._codec = codec
        self._numbers = numbers
        self._runtime = runtime  # or the image and the limits would go
        self._call_again = call_again
        types, result = codec.schema.types, codec.result_schema.types[0]
        numpy: Any = sys.modules.get("numpy")
        self.has_numpy: Final = numpy is not None
        self._result = None if numpy is None else numpy.dtype(numpy_type(result))
        addresses = runtime.pool.address, runtime.image.address, runtime.limits_address
        self.calls: Final = SmallCalls(
            (None, None, None)
            if numpy is None
            else (numpy.ndarray, numpy.frombuffer, self._result),
            "".join(_FORMATS[str(type_)] for type_ in types),
            (
                tuple(type(pa.nulls(0, type_)) for type_ in types),
                pa.Array._export_to_c,
                pa.Array._import_from_c,
                result,
            ),
            runtime.pool,
            self,
            *addresses,
            runtime.pool.wait_ns,
        )
        self.call: Final = self.calls.call

    # ---- What the calls leave to Python ----

    def layout(self, rows: int) -> NumberLayout | None:
        """Returns the layout of batches of so many rows; None where they are not small."""
        if rows > MAX_REQUEST:
            return None
        layout = self._numbers.layout(rows)
        return layout if layout.request_length <= MAX_REQUEST else None

    def columns_layout(self, rows: int) -> NumberLayout | None:
        """Returns the layout of columns of so many rows, which need not be few; None where they, or
        the result, do not fit the windows.
        """
        layout = self._numbers.layout(rows)
        return layout if max(layout.request_length, layout.reply_length) <= WINDOW else None

    def read(
        self, status: int, reply: bytearray, layout: NumberLayout, is_arrow: bool
    ) -> pa.Array | np.ndarray[Any, Any]:
        """Returns the result in a reply that is not one of numbers without nulls at the usual
        place. Raises what the function raised.
        """
        if status:
            from udfvm.vmm import guest_error

            raise guest_error.parse(
                memoryview(reply), self._name, 0, layout.rows, parameters=self._parameters
            )
        if not is_arrow:
            data = self._codec.numbers_in(memoryview(reply), layout.rows)
            if data is not None:
                import numpy as np

                return np.frombuffer(reply, self._result, layout.rows, data.start)
        array = self._codec.read(bytes(reply), layout.rows)
        return array if is_arrow else to_numpy(self._name, array)

    def failed(self, error: int, arguments: tuple[Any, ...]) -> Any:
        """The call failed: raises what the ``struct udfvm_error`` at an address says, or makes the
        call in another way.
        """
        failure = exception_at(error, self._name)
        if isinstance(failure, ForkedError):
            return self._call_again(failure, self._runtime, arguments)
        if isinstance(failure, CallTimeoutError):
            failure.of_rows(len(arguments[0]))
        raise failure

    # ---- The same for Arrow's kernels ----

    @hides_frames
    def read_columns(self, status: int, reply: bytearray, layout: NumberLayout) -> pa.Array:
        """As ``read``. Failures say that their row is one of the batch: pyarrow does not say which
        rows of its input that has.
        """
        try:
            return self.read(status, reply, layout, is_arrow=True)
        except (CallError, TypeMappingError) as error:
            error.locate(error.row, of="batch")
            raise

    @hides_frames
    def raise_of_columns(self, error: int, rows: int) -> NoReturn:
        """Raises what the ``struct udfvm_error`` at an address says of a call with so many rows."""
        failure = exception_at(error, self._name)
        if isinstance(failure, CallTimeoutError):
            failure.of_rows(rows)
        if isinstance(failure, CallError):
            failure.locate(failure.row, of="batch")
        raise failure
