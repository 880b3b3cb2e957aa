"""The exchanges about one group of rows of an aggregate, in one micro-VM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from udfvm.call.guest_exceptions import guest_exception
from udfvm.errors import BusyError, ProtocolError
from udfvm.layouts import AGGREGATE
from udfvm.protocol import (
    ANSWER_FINISH,
    ANSWER_MERGE,
    ANSWER_NONE,
    ANSWER_STATE,
    REPLY_ARROW,
    REQUEST_AGGREGATE,
)
from udfvm.types.arrow_types import JSON, named

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.dispatch import Calls
    from udfvm.call.runtime import Runtime
    from udfvm.load.declaration import Declaration
    from udfvm.types.arrow_types import Type
    from udfvm.vmm import VM

_MAX_BATCH: Final = 1 << 16  # rows of one exchange


class Group:
    """Groups in a VM: only one, 0, unless rows and ``finish_column`` say which."""

    def __init__(self, declaration: Declaration, runtime: Runtime, vm: VM) -> None:
        self._name = declaration.name
        self._parameters = declaration.parameters
        self._result = declaration.result.type
        self._runtime = runtime
        self._vm = vm

    def feed(self, table: pa.Table, first_row: int) -> None:
        """Takes rows without nulls that the aggregate does not take. ``first_row`` is the index of
        the first of them, for failures. A column more than the aggregate has parameters is the
        group of each row, an int64.
        """
        from udfvm.codec.column_batches import widened
        from udfvm.codec.record_batches import one_batch
        from udfvm.codec.sizes import size_of_rows

        start = 0
        size = _MAX_BATCH
        capacity = self._vm.input_capacity // 2
        while start < table.num_rows:
            chunk = table.slice(start, size)
            if size > 1 and size_of_rows(chunk) > capacity:
                size //= 2
                continue
            found = one_batch(chunk).columns
            columns = [
                widened(column, parameter.type)
                for column, parameter in zip(found, self._parameters, strict=False)
            ]
            groups = found[len(columns)] if len(found) > len(columns) else None
            self._ask(ANSWER_NONE, columns, None, first_row + start, rows=len(chunk), groups=groups)
            start += len(chunk)

    def state(self) -> bytes:
        """Returns the group as another can merge it."""
        state = self._ask(ANSWER_STATE, [], named("binary"))[0].as_py()
        if not isinstance(state, bytes):
            raise ProtocolError("the guest's reply is not valid: no state", self._name)
        return state

    def merge(self, state: bytes) -> None:
        """Adds what another group has seen."""
        import pyarrow as pa

        self._ask(ANSWER_MERGE, [pa.array([state], pa.large_binary())], None, rows=1)

    def finish(self) -> Any:
        """Returns the group's value."""
        from udfvm.codec.json_values import json_value
        from udfvm.codec.python_values import python_values

        value = python_values(self._name, self._ask(ANSWER_FINISH, [], self._result))[0]
        if self._result != JSON:
            return value
        try:
            return json_value(value)
        except ValueError as error:
            raise ProtocolError(f"the guest's reply is not valid: {error}", self._name) from error

    def finish_column(self, group: int = 0) -> pa.Array:
        """Returns the value of a group as a column of the declared type; JSON is text."""
        from udfvm.codec.containers import as_declared

        found = self._ask(ANSWER_FINISH, [], self._result, group=group)
        return as_declared(self._name, self._result, [found])[0]

    def _ask(
        self,
        answer: int,
        columns: Sequence[pa.Array | bytes],
        type_: Type | None,
        first_row: int = 0,
        *,
        rows: int = 0,
        groups: pa.Array | None = None,
        group: int = 0,
    ) -> Any:
        """Makes one exchange, with so many rows. ``groups`` are those of the rows, ``group`` is the
        one that is asked. Returns a column with what came back, if that has a type.
        """
        import pyarrow as pa

        from udfvm.codec.column_batches import decode, encode, widened
        from udfvm.codec.containers import without_encodings

        if not columns:
            columns = [
                widened(pa.nulls(0, each.type.arrow), each.type) for each in self._parameters
            ]
        of_rows = pa.repeat(pa.scalar(0, pa.int64()), rows) if groups is None else groups
        inverse = pa.nulls(rows, pa.bool_())
        head = AGGREGATE.pack(group, answer, REPLY_ARROW)
        payload = head + encode([of_rows, inverse, *columns], rows)
        self._vm.tell(rows)
        reply = self._vm.call(REQUEST_AGGREGATE, payload, self._runtime.limits, self._name)
        data = bytes(reply.data)
        if reply.status:
            raise guest_exception(data, self._name, first_row, rows, self._parameters)
        if type_ is None:
            return None
        batch, _ = decode(self._name, data, [type_], 1)
        if batch.num_rows != 1:
            raise ProtocolError("the guest's reply is not valid: no row", self._name)
        (column,) = without_encodings(self._name, type_, [batch.column(0)])
        return column


@contextmanager
def group_of(calls: Calls, *, waits: bool = True) -> Iterator[Group]:
    """Takes a VM of an aggregate for one group, and gives it back. Raises BusyError: at once where
    all VMs are busy, unless it ``waits`` for one.
    """
    runtime, vm = calls.take_vm(waits=waits)
    try:
        yield Group(calls.declaration, runtime, vm)
    finally:
        runtime.pool.give(vm)


@contextmanager
def group_of_all(calls: Calls, table: pa.Table) -> Iterator[Group]:
    """Takes a VM for the group of all rows of a table."""
    with group_of(calls) as group:
        group.feed(table, 0)
        yield group


@contextmanager
def group_of_halves(calls: Calls, table: pa.Table) -> Iterator[Group]:
    """As ``group_of_all``, for an aggregate with ``merge``: a second VM, if one is free, takes half
    of the rows at the same time.

    Of several failures, that of the first row is raised. One in the first half ends the call with
    the other half.
    """
    from udfvm.pipelines.workers import beside

    half = table.num_rows // 2
    others = table.slice(half)

    def state() -> bytes:
        # Without a wait: it would be for VMs of calls that may wait for this call's VM.
        with group_of(calls, waits=False) as group:
            group.feed(others, half)
            return group.state()

    with group_of(calls) as group, beside(state) as state_of_others:
        group.feed(table.slice(0, half), 0)
        try:
            found = state_of_others()
        except BusyError:
            group.feed(others, half)
        else:
            group.merge(found)
        yield group
