"""Calls with one row of Python values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udfvm.call.runtime import Runtime, RuntimeKeeper
from udfvm.errors import ForkedError, InputTooLargeError, OutputLimitError
from udfvm.limits import WINDOW
from udfvm.protocol import REQUEST_ROW
from udfvm.static_typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from udfvm.call.chunks import TooLarge
    from udfvm.call.pool import Pool
    from udfvm.call.runtime import Loader
    from udfvm.codec.rows import RowCodec
    from udfvm.load.declaration import Declaration
    from udfvm.vmm import VM, Windows

#: Calls with a row of numbers that a function makes before they are made in C.
ROWS_IN_PYTHON: Final = 8

_Result = TypeVar("_Result")
_Failure: TypeAlias = ForkedError | InputTooLargeError | OutputLimitError


class SingleRows(RuntimeKeeper):
    """Calls of one function with a row. The others build on it."""

    def __init__(self, declaration: Declaration, pool: Pool, loader: Loader) -> None:
        super().__init__(declaration, pool, loader)
        self._parameters = declaration.parameters
        self._rows = self.codecs.rows
        # A result may need larger windows, and a call with host functions is not made twice to find
        # that out.
        self._begins_with_large_windows = (
            self._limits.max_output > WINDOW and declaration.host_functions is not None
        )
        self._rows_called = 0
        self._takes_numbers = (
            self._rows is not None
            and self._rows.takes_numbers
            and not self._begins_with_large_windows
        )

    def take_vm(self, windows: Windows | None = None, *, waits: bool = True) -> tuple[Runtime, VM]:
        """Returns a VM of the function's image, and what calls need. Give it back to the runtime's
        pool. ``windows`` are those of a VM that is opened for the one call. Raises BusyError: at
        once where all VMs are busy, unless it ``waits`` for one.
        """
        runtime = self.ready()
        try:
            timeout_ns = runtime.limits.timeout_ns
            vm = runtime.pool.take(runtime.image, windows, timeout_ns, self._name, waits=waits)
            return runtime, vm
        except ForkedError as error:
            self._renew(error, runtime)
            return self.take_vm(windows, waits=waits)

    def _call_row(self, rows: RowCodec, arguments: Sequence[Any]) -> object:
        if rows.is_null(arguments):
            return None
        payload = rows.encode(arguments)
        status, reply = self._fresh_call(REQUEST_ROW, payload)
        if self._takes_numbers and self._call_numbers is None:
            self._keep_numbers(rows)
        if status:
            from udfvm.call.guest_exceptions import guest_exception

            raise guest_exception(reply, self._name, parameters=self._parameters)
        return rows.decode(reply)

    def _keep_numbers(self, rows: RowCodec) -> None:
        """After some calls: programs that make a few are not to wait for what that needs."""
        self._rows_called += 1
        runtime = self._runtime
        if self._rows_called < ROWS_IN_PYTHON or runtime is None:
            return
        from udfvm.call.row_calls import NumberRows

        made = NumberRows(self.declaration, rows, runtime, self._call_row_again)
        with self._guard.lock:
            if self._runtime is runtime:  # else names changed meanwhile
                self._call_numbers = made.call

    def _call_row_again(
        self, failure: _Failure, runtime: Runtime, arguments: tuple[Any, ...]
    ) -> tuple[int, bytes]:
        """As ``_fresh_call``, where that failed in C."""
        payload = self._rows.encode(arguments) if self._rows else b""
        if isinstance(failure, ForkedError):
            self._renew(failure, runtime)
            return self._fresh_call(REQUEST_ROW, payload)
        return self._fresh_call_in_windows(REQUEST_ROW, payload, failure)

    def _fresh_call(self, request: int, payload: bytes) -> tuple[int, bytes]:
        """A whole call; returns the status and the reply."""
        runtime = self._runtime or self.ready()
        if self._begins_with_large_windows:
            return self._fresh_call_in_windows(request, payload, None)
        try:
            return runtime.pool.fresh_call(
                runtime.image, request, payload, runtime.limits, self._name
            )
        except ForkedError as error:
            self._renew(error, runtime)
            return self._fresh_call(request, payload)
        except (InputTooLargeError, OutputLimitError) as error:
            return self._fresh_call_in_windows(request, payload, error)

    def _fresh_call_in_windows(
        self, request: int, payload: bytes, failure: InputTooLargeError | OutputLimitError | None
    ) -> tuple[int, bytes]:
        """A whole call in larger windows. ``failure`` is how it ended with the usual ones, where it
        was made.
        """

        def call(windows: Windows | None) -> tuple[int, bytes]:
            runtime, vm = self.take_vm(windows)
            try:
                reply = vm.call(request, payload, runtime.limits, self._name)
                return reply.status, bytes(reply.data)
            finally:
                runtime.pool.give(vm)

        return self._call_in_windows(call, len(payload), failure)

    def _call_in_windows(
        self,
        call: Callable[[Windows | None], _Result],
        size: int,
        failure: TooLarge | InputTooLargeError | None,
    ) -> _Result:
        """A call whose request, of so many bytes, or whose result does not fit the usual
        windows.
        """
        from udfvm.call.windows import call_with_windows

        output = failure if isinstance(failure, OutputLimitError) else None
        advice = (
            ""
            if self.declaration.elementwise
            else "; or declare elementwise=True, if the function works row by row"
        )
        return call_with_windows(
            self._name,
            self._limits,
            size,
            call,
            failure=output,
            may_repeat=not self.declaration.host_functions,
            advice=advice,
        )
