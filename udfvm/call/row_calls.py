"""Rows of numbers, of floats and ints of Python: the shortest way to a call, in C
(``row_calls.c``). Here is what that leaves to Python: all other replies, and all failures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from udfvm.call._fast_path import RowCalls
from udfvm.call.guest_exceptions import guest_exception
from udfvm.errors import ForkedError, InputTooLargeError, OutputLimitError
from udfvm.protocol import TYPE_FLOAT64, TYPE_INT64, TYPE_NULL
from udfvm.types.arrow_types import Kind
from udfvm.vmm import exception_at

if TYPE_CHECKING:
    from udfvm.call.runtime import Runtime
    from udfvm.codec.rows import RowCodec
    from udfvm.load.declaration import Declaration
    from udfvm.types.arrow_types import Type

#: Makes a call again that failed in a forked child, or whose result is too large for the usual
#: windows: (the failure, its runtime, arguments). Returns the status and the reply.
CallAgain = Callable[
    [ForkedError | InputTooLargeError | OutputLimitError, "Runtime", tuple[Any, ...]],
    tuple[int, bytes],
]


class NumberRows:
    """Calls with rows of numbers, while a runtime lasts.

    Attributes:
        call: the result for a tuple of arguments; NotImplemented: to be called in another way.
    """

    def __init__(
        self, declaration: Declaration, rows: RowCodec, runtime: Runtime, call_again: CallAgain
    ) -> None:
        """``call_again`` makes a call in another way."""
        self._name = declaration.name
        self._parameters = declaration.parameters
        self._rows = rows
        self._runtime = runtime  # or the image and the limits would go
        self._call_again = call_again
        pool = runtime.pool
        self.call: Final = RowCalls(
            tuple(int(each.type.row or 0) for each in self._parameters),
            _number_type(declaration.result.type),
            pool,
            self,
            pool.address,
            runtime.image.address,
            runtime.limits_address,
            pool.wait_ns,
        ).call

    # ---- What the calls leave to Python ----

    def read(self, status: int, reply: bytes) -> object:
        """Returns the result in a reply that is no number. Raises what the function raised."""
        if status:
            raise guest_exception(reply, self._name, parameters=self._parameters)
        return self._rows.decode(reply)

    def failed(self, error: int, arguments: tuple[Any, ...]) -> Any:
        """The call failed: raises what the ``struct udfvm_error`` at an address says, or makes the
        call in another way.
        """
        failure = exception_at(error, self._name)
        if isinstance(failure, (ForkedError, InputTooLargeError, OutputLimitError)):
            return self.read(*self._call_again(failure, self._runtime, arguments))
        raise failure


def _number_type(type_: Type) -> int:
    """Returns how a reply stores a result that C code reads; that of a null for others."""
    if type_.name == "int64":
        return TYPE_INT64
    return TYPE_FLOAT64 if type_.kind is Kind.FLOAT else TYPE_NULL
