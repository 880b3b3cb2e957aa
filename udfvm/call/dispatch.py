"""Calls of one function: with a row of Python values, or with columns, in as few requests as fit
the windows of a VM.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from udfvm.call.runtime import Runtime
from udfvm.call.single_rows import SingleRows
from udfvm.codec.value_codecs import PYTHON_CLASSES
from udfvm.errors import (
    CallError,
    ForkedError,
)
from udfvm.load._bindings import changed
from udfvm.protocol import REQUEST_BATCH, REQUEST_ROW
from udfvm.static_typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar
from udfvm.types.arrow_types import JSON

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.chunks import TooLarge
    from udfvm.call.pool import Pool
    from udfvm.call.runtime import Loader
    from udfvm.codec.containers import Container
    from udfvm.codec.fixed_width import NumberBatches, NumberColumns, ResultMemory
    from udfvm.codec.record_batches import BatchReply
    from udfvm.load.declaration import Declaration
    from udfvm.vmm import VM, Windows

    class Writer(Protocol):
        """What writes batches as requests: ``BatchCodec`` record batches, ``NumberBatches`` columns
        of numbers.
        """

        def size(self, batch: Any, /) -> int:
            """Bytes of the request."""

        def write(self, window: memoryview, batch: Any, /) -> int:
            """Writes the request to the beginning of the window; returns its length in bytes."""


_Result = TypeVar("_Result")
_Copy: TypeAlias = "Callable[[int, int, memoryview], pa.Buffer] | None"
_Spread: TypeAlias = "Callable[[int], ResultMemory] | bool"


class Calls(SingleRows):
    """Calls of one function.

    Raise ``UDFError`` where the function raised, ``TypeMappingError`` for arguments that are not of
    the declared types, and the errors of the limits.
    """

    def __init__(self, declaration: Declaration, pool: Pool, loader: Loader) -> None:
        super().__init__(declaration, pool, loader)
        self._result = declaration.result.type
        self._is_json = self._result == JSON

    def call(self, arguments: tuple[Any, ...]) -> Any:
        """A call with an argument for each parameter: values, or arrays among them."""
        # As follow() does, which would be one more function that the processor finds cold here.
        bindings = self._bindings
        if bindings and changed(bindings):
            self._forget(bindings)
        call_numbers = self._call_numbers
        if call_numbers is not None:
            result = call_numbers(arguments)
            if result is not NotImplemented:
                return result
        small = self._small
        if small is not None:
            result = small.call(arguments)
            if result is not NotImplemented:
                return result
        if self._rows is None or not PYTHON_CLASSES.issuperset(map(type, arguments)):
            return self._call_with_any(arguments)
        return self._call_row(self._rows, arguments)

    def call_small(self, arguments: tuple[Any, ...]) -> Any:
        """Returns the result for small arrays of numbers; NotImplemented for other arguments."""
        self.follow()
        small = self._small
        return NotImplemented if small is None else small.call(arguments)

    def keep_short_way(self) -> None:
        """Makes the shortest way to calls with numbers, if it is not there, and once a call has
        found the image.
        """
        runtime = self._runtime
        if self._small is None and runtime is not None:
            self._keep_small(self.codecs.numbers, runtime)

    def call_columns(
        self,
        arguments: Sequence[Any],
        container: Container | None = None,
        copy: _Copy = None,
        rows: int = 1,
        *,
        spread: bool = False,
    ) -> Any:
        """Calls the function with a column, or a value to repeat, for each parameter. ``container``
        is what to return; that of the arguments, if not given. ``copy`` makes the memory that the
        result of so many rows from a first one on is in. ``rows`` is how many there are of a
        function without parameters. With ``spread`` several VMs compute many rows, where the
        function allows it.
        """
        batches = self.codecs.numbers
        numbers = batches.take(arguments)
        if numbers is not None:
            if (not container or copy) and batches.has_small and numbers.is_in_one_chunk:
                self._keep_small(batches, self.ready())
            return batches.result(
                container or numbers.container,
                self._in_chunks(numbers, Calls._call_with_numbers, copy, spread and batches.memory),
            )

        import pyarrow as pa

        from udfvm.codec.arguments import columns_of
        from udfvm.codec.containers import (
            Container,
            container_of_result,
            result_in,
        )

        container = container or container_of_result(arguments)
        if container is Container.PRODUCER:
            return self._call_with_producers(arguments, spread)
        if arguments:
            columns, rows = columns_of(
                self._name, self._parameters, arguments, vectorized=self.declaration.vectorized
            )
        else:
            columns = []
        codec = self.codecs.batches
        chunks: list[pa.Array] = []
        if rows:
            whole: pa.RecordBatch | pa.Table
            if any(isinstance(column, pa.ChunkedArray) for column in columns):
                whole = pa.table(columns, schema=codec.schema)
            else:
                whole = codec.batch(columns, rows)
            chunks = self._in_chunks(whole, Calls._call_with_batch, copy, spread)
        result = result_in(self._name, container, self._result, chunks, arguments)
        if not self._is_json:
            return result
        from udfvm.codec.json_values import parsed_result

        return parsed_result(self._name, container, result)

    def _call_with_producers(self, arguments: Sequence[Any], spread: bool) -> Any:
        """A call with columns of other libraries."""
        from udfvm.codec.producers import taken

        given = taken(self._name, self._parameters, arguments, json=self._is_json)
        result = self.call_columns(given.arguments, given.container, spread=spread)
        return given.give_back(result)

    def warm(self, pool: Pool, vms: int) -> int:
        """Makes so many VMs of a pool ready, each by a call with a row of zeros, for the pages that
        a call touches. Returns their number. Raises BusyError.
        """
        runtime = self.current()
        image_pool = pool._for_base(runtime.base, runtime.data)
        with ExitStack() as held:  # all at once, so that they are different VMs
            for vm in [held.enter_context(image_pool.vm(runtime.image)) for _ in range(vms)]:
                self._call_with_zeros(vm, runtime)
        return vms

    def _call_with_zeros(self, vm: VM, runtime: Runtime) -> None:
        # What it prints of zeros goes nowhere.
        limits = self.core_limits(
            self._limits.timeout_ns, runtime.host_functions, None, noted=False
        )
        if self._rows is not None:
            request, data = REQUEST_ROW, self._rows.default()
        else:
            codec = self.codecs.batches
            request, data = REQUEST_BATCH, codec.stream(codec.null_and_zero())
        with contextlib.suppress(CallError):  # what it makes of zeros does not matter
            vm.call(request, data, limits, self._name)

    # ---- Rows ----

    def _call_with_any(self, arguments: Sequence[Any]) -> Any:
        from udfvm.codec.loaded_arrays import loaded_arrays

        if arguments and isinstance(arguments[0], loaded_arrays()):
            return self.call_columns(arguments, spread=True)
        from udfvm.codec.containers import Container, container_of_result
        from udfvm.codec.scalars import columns_of_values, python_value

        container = container_of_result(arguments)
        if container is not Container.SCALAR or self._rows is None:
            return columns_of_values(self.call_columns, arguments, container)
        values = [
            python_value(self._name, *each)
            for each in zip(self._parameters, arguments, strict=True)
        ]
        return self._call_row(self._rows, values)

    # ---- Columns ----

    def _keep_small(self, batches: NumberBatches, runtime: Runtime) -> None:
        kept = self._small
        if kept is not None and (kept.has_numpy or "numpy" not in sys.modules):
            return
        from udfvm.call.fast_path import small_batches

        names = [each.name for each in self._parameters]
        small = small_batches(batches, self._name, names, runtime, self._call_again)
        with self._guard.lock:
            if self._runtime is runtime:  # else names changed meanwhile
                self._small = small

    def _call_again(self, error: ForkedError, runtime: Runtime, arguments: tuple[Any, ...]) -> Any:
        """A call with small arrays in a forked child, where the runtime is still the parent's."""
        self._renew(error, runtime)
        return self._call_with_any(arguments)

    def _in_chunks(
        self, whole: Any, call: Callable[..., Any], copy: _Copy, spread: _Spread
    ) -> list[Any]:
        """Calls with all rows, by ``_call_with_numbers`` or ``_call_with_batch``."""
        from udfvm.call.chunks import MANY_ROWS, all_rows

        if not spread or whole.num_rows < MANY_ROWS or not self.declaration.elementwise:
            return all_rows(call, self, whole, copy, 0)
        from udfvm.call.spreading import call_many

        memory = None if spread is True else spread
        return call_many(self, whole, functools.partial(all_rows, call), memory)

    def _call_with_numbers(
        self, copy: _Copy, numbers: NumberColumns, first_row: int, failure: TooLarge | None
    ) -> BatchReply:
        return self._call_with_rows(self.codecs.numbers, copy, numbers, first_row, failure)

    def _call_with_batch(
        self,
        copy: _Copy,
        rows: pa.RecordBatch | pa.Table,
        first_row: int,
        failure: TooLarge | None,
    ) -> pa.Array:
        from udfvm.codec.record_batches import one_batch

        codec = self.codecs.batches
        return codec.array(self._call_with_rows(codec, copy, one_batch(rows), first_row, failure))

    def _call_with_rows(
        self, writer: Writer, copy: _Copy, rows: Any, first_row: int, failure: TooLarge | None
    ) -> BatchReply:
        if failure is None and not self._begins_with_large_windows:
            return self._call_batch(writer, copy, rows, first_row)
        return self._call_in_windows(
            functools.partial(self._call_batch, writer, copy, rows, first_row),
            writer.size(rows),
            failure,
        )

    def _call_batch(
        self,
        writer: Writer,
        copy: _Copy,
        batch: Any,
        first_row: int,
        windows: Windows | None = None,
    ) -> BatchReply:
        """One call. ``writer`` writes the request with the rows of ``batch``."""
        codec, rows = self.codecs.batches, batch.num_rows
        size = writer.size(batch)
        runtime, vm = self.take_vm(windows)
        try:
            if size > vm.input_capacity:
                from udfvm.codec.window import TooLargeForWindowError

                raise TooLargeForWindowError(size, vm.input_capacity)
            length = writer.write(vm.input(size), batch)
        except BaseException:
            runtime.pool.give(vm)
            raise
        status, reply, is_data = runtime.pool.call_and_give(
            vm,
            REQUEST_BATCH,
            length,
            runtime.limits,
            self._name,
            rows,
            lambda reply: codec.numbers_in(reply, rows),
            copy and functools.partial(copy, first_row, rows),
        )
        if status:
            from udfvm.call.guest_exceptions import guest_exception

            raise guest_exception(reply, self._name, first_row, rows, self._parameters)
        return codec.reply(reply, rows, is_data)
