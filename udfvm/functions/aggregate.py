"""Aggregates: classes with ``step`` and ``finish``, run in micro-VMs."""

from __future__ import annotations

import inspect
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Unpack, overload

from udfvm.call.dispatch import guest_exception
from udfvm.errors import CallError, ProtocolError, SignatureError, TypeMappingError
from udfvm.functions.function import Function
from udfvm.functions.options import PythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram
from udfvm.keywords import checks_options_of
from udfvm.protocol import (
    ANSWER_FINISH,
    ANSWER_MERGE,
    ANSWER_NONE,
    ANSWER_STATE,
    REQUEST_AGGREGATE,
)
from udfvm.types.arrow_types import JSON, named
from udfvm.types.signatures import signature_of

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.pool import Pool
    from udfvm.call.runtime import Runtime
    from udfvm.limits import Limits
    from udfvm.types.arrow_types import Type
    from udfvm.vmm import VM

_HEAD: Final = struct.Struct("<QII")
_MAX_BATCH: Final = 1 << 16  # rows of one exchange
_ENOUGH_FOR_TWO: Final = 1 << 18  # rows from which on a second micro-VM is worth it


class AggregateFunction(Function):
    """An aggregate. Made by ``udfvm.aggregate``.

    Called with arrays (pyarrow or numpy, one for each parameter of ``step``; values among them are
    repeated) it returns the aggregate of all rows: one call, in one fresh micro-VM. Where the class
    has ``merge``, many rows are shared between two micro-VMs that run at once.
    """

    @property
    def has_inverse(self) -> bool:
        """The class has ``inverse``, and so can serve moving windows."""
        return self._declaration.has_inverse

    @property
    def has_merge(self) -> bool:
        """The class has ``merge``."""
        return hasattr(self.function, "merge")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The aggregate of all rows of some arrays."""
        from udfvm.codec.arguments import columns_of
        from udfvm.codec.forms import Form, form_of

        self._calls.follow()
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        if all(form_of(argument) is Form.SCALAR for argument in arguments):
            raise TypeMappingError(
                f"UDF {self.name!r}: an aggregate is called with arrays: pass at least one pyarrow"
                " or numpy array"
            )
        columns, rows = columns_of(
            self.name, self.parameters, arguments, vectorized=self.vectorized
        )
        table, valid = self._table(columns)
        try:
            return self._aggregate(table, rows)
        except CallError as error:
            if error.row is not None and valid is not None:
                error.locate(_index_of(error.row, valid))
            raise

    def _aggregate(self, table: pa.Table, rows: int) -> Any:
        if not self.has_merge or rows < _ENOUGH_FOR_TWO:
            return self._value(table)
        half = rows // 2
        with ThreadPoolExecutor(1) as executor:
            other = executor.submit(self._state, table.slice(half), half)
            runtime, vm = self._calls.take_vm()
            try:
                self._feed(runtime, vm, table.slice(0, half), 0)
                return self._finish(runtime, vm, other.result())
            finally:
                runtime.pool.give(vm)

    def _table(self, columns: Sequence[Any]) -> tuple[pa.Table, Any]:
        """The rows that count: without those with a null in a parameter that does not allow None;
        and which those are, None: all.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table(columns, names=[str(index) for index in range(len(columns))])
        valid: Any = None
        for column, parameter in zip(table.columns, self.parameters, strict=True):
            if not parameter.nullable and column.null_count:
                valid = column.is_valid() if valid is None else pc.and_(valid, column.is_valid())
        return (table, None) if valid is None else (table.filter(valid), valid)

    def _value(self, table: pa.Table) -> Any:
        runtime, vm = self._calls.take_vm()
        try:
            self._feed(runtime, vm, table, 0)
            return self._finish(runtime, vm, None)
        finally:
            runtime.pool.give(vm)

    def _state(self, table: pa.Table, first_row: int) -> bytes:
        runtime, vm = self._calls.take_vm()
        try:
            self._feed(runtime, vm, table, first_row)
            state = self._ask(runtime, vm, ANSWER_STATE, [], named("binary"))
        finally:
            runtime.pool.give(vm)
        if not isinstance(state, bytes):
            raise ProtocolError("the guest's reply is not valid: no state", self.name)
        return state

    def _finish(self, runtime: Runtime, vm: VM, state: bytes | None) -> Any:
        import pyarrow as pa

        if state is not None:
            self._ask(runtime, vm, ANSWER_MERGE, [pa.array([state], pa.large_binary())], None)
        return self._ask(runtime, vm, ANSWER_FINISH, [], self.result.type)

    def _feed(self, runtime: Runtime, vm: VM, table: pa.Table, first_row: int) -> None:
        from udfvm.codec.column_batches import widened
        from udfvm.codec.record_batches import one_batch

        start = 0
        size = _MAX_BATCH
        capacity = vm.room // 2
        while start < table.num_rows:
            chunk = table.slice(start, size)
            if size > 1 and chunk.nbytes > capacity:
                size //= 2
                continue
            columns = [widened(column) for column in one_batch(chunk).columns]
            self._ask(runtime, vm, ANSWER_NONE, columns, None, first_row + start)
            start += len(chunk)

    def _ask(
        self,
        runtime: Runtime,
        vm: VM,
        answer: int,
        columns: Sequence[pa.Array],
        type_: Type | None,
        first_row: int = 0,
    ) -> Any:
        """One exchange about the only group."""
        import pyarrow as pa

        from udfvm.codec.column_batches import decode, encode, widened
        from udfvm.codec.json_values import json_value
        from udfvm.codec.python_values import python_values

        rows = len(columns[0]) if columns else 0
        if not columns:
            columns = [widened(pa.nulls(0, parameter.type.arrow)) for parameter in self.parameters]
        group, inverse = pa.array([0] * rows, pa.int64()), pa.nulls(rows, pa.bool_())
        payload = _HEAD.pack(0, answer, 0) + encode([group, inverse, *columns], rows)
        reply = vm.call(REQUEST_AGGREGATE, payload, runtime.limits, self.name)
        data = bytes(reply.data)
        if reply.status:
            raise guest_exception(data, self.name, first_row, rows)
        if type_ is None:
            return None
        batch, _ = decode(self.name, data, [type_], 1)
        if batch.num_rows != 1:
            raise ProtocolError("the guest's reply is not valid: no row", self.name)
        value = python_values(self.name, batch.column(0))[0]
        if type_ != JSON:
            return value
        try:
            return json_value(value)
        except ValueError as error:
            raise ProtocolError(f"the guest's reply is not valid: {error}", self.name) from error


class AggregateProgram(PythonProgram):
    """A class with ``step`` and ``finish``."""

    function: type[Any]

    def __init__(
        self,
        function: type[Any],
        sample: object,
        *,
        vectorized: bool,
        input_types: Sequence[object] | Mapping[str, object] | None,
        output_type: object,
    ) -> None:
        super().__init__(function, sample)
        self._vectorized = bool(vectorized)
        self._input_types = input_types
        self._output_type = output_type

    @property
    def default_name(self) -> object:
        """The name of the class, in lower case."""
        return self.function.__name__.lower()

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """What the annotations of ``step`` and ``finish`` say."""
        from udfvm.codec.column_batches import row_type

        cls: Any = self.function
        for method in ("step", "finish"):
            if not inspect.isfunction(getattr(cls, method, None)):
                raise SignatureError(
                    f"UDF {name!r}: an aggregate is a class with step(self, ...) and"
                    f" finish(self); it has no {method}()"
                )
        step, finish = types.MethodType(cls.step, cls), types.MethodType(cls.finish, cls)
        signature = signature_of(
            step,
            name,
            vectorized=self._vectorized,
            input_types=self._input_types,
            output_type="bool",
            output_only=True,
        )
        result = signature_of(
            finish,
            name,
            vectorized=False,
            input_types=None,
            output_type=self._output_type,
            nested=False,
        )
        if result.parameters:
            raise SignatureError(f"UDF {name!r}: finish() takes no arguments but self")
        _check_partner(name, cls, "inverse", len(signature.parameters))
        _check_partner(name, cls, "merge", 1)
        for parameter in signature.parameters:
            row_type(name, f"parameter {parameter.name!r}", parameter.type)
        row_type(name, "the result", result.result.type)
        return Interface(
            "aggregate",
            signature._replace(result=result.result),
            vectorized=self._vectorized,
            elementwise=not self._vectorized,
            has_inverse=hasattr(cls, "inverse"),
        )


def _index_of(row: int, valid: Any) -> int:
    """The index among all rows of one of those that count."""
    import pyarrow.compute as pc

    indices: Any = pc.indices_nonzero(valid)
    return int(indices[row].as_py())


def _check_partner(name: str, cls: Any, method: str, count: int) -> None:
    function = getattr(cls, method, None)
    if function is None:
        return
    if not inspect.isfunction(function) or len(inspect.signature(function).parameters) != count + 1:
        raise SignatureError(
            f"UDF {name!r}: {method}() must be a method with {count}"
            f" argument{'' if count == 1 else 's'} besides self"
        )


@overload
def aggregate(cls: type[Any], /) -> AggregateFunction: ...
@overload
def aggregate(
    cls: None = None,
    /,
    *,
    vectorized: bool = False,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: Sequence[tuple[object, ...]] | None = None,
    **options: Unpack[PythonOptions],
) -> Callable[[type[Any]], AggregateFunction]: ...
@checks_options_of(PythonOptions)
def aggregate(
    cls: type[Any] | None = None,
    /,
    *,
    vectorized: bool = False,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: Sequence[tuple[object, ...]] | None = None,
    **options: Unpack[PythonOptions],
) -> AggregateFunction | Callable[[type[Any]], AggregateFunction]:
    """Makes a class an aggregate, in SQL (window functions included) and in Python.

    Each group is an instance, made without arguments. ``step(self, ...)`` takes a row; rows with a
    NULL in a parameter that does not allow None are left out. ``finish(self)`` returns the group's
    value; in a window function it is called again and again while rows come and go. ``inverse(self,
    ...)``, where there is one, takes a row out again, oldest first: without it a window cannot
    move. ``merge(self, other)``, where there is one, adds what another instance has seen. All
    groups of one execution of a statement live in one micro-VM, and end with it.

    Args:
        vectorized: ``step`` and ``inverse`` take columns, as a vectorised UDF does.
        input_types, output_type: types of ``step``'s parameters and of ``finish``'s result, where
            they are not annotated.
        sample: a list of tuples of arguments of ``step``, for a group that is computed while the
            image is built.
        options: ``name`` (default: the class's name in lower case), ``memory``, ``timeout``
            (seconds for each exchange with the micro-VM, which may be of many rows),
            ``max_output``, ``max_log``, ``log``, ``files``, ``deterministic``, ``packages``,
            ``pool``, ``host_functions``, ``host_calls``, ``build_timeout``: as for ``udfvm.udf``.

    Raises SignatureError.

    >>> import numpy as np
    >>> @udfvm.aggregate
    ... class Spread:
    ...     def __init__(self):
    ...         self.low, self.high = float("inf"), float("-inf")
    ...     def step(self, value: float) -> None:
    ...         self.low, self.high = min(self.low, value), max(self.high, value)
    ...     def finish(self) -> float | None:
    ...         return self.high - self.low if self.high >= self.low else None
    >>> Spread(np.array([3.0, 8.5, 5.0]))
    5.5
    """

    def decorate(target: type[Any]) -> AggregateFunction:
        if not isinstance(target, type):
            raise SignatureError(f"@udfvm.aggregate decorates classes, not {type(target).__name__}")
        program = AggregateProgram(
            target,
            sample,
            vectorized=vectorized,
            input_types=input_types,
            output_type=output_type,
        )
        return AggregateFunction(program, **parsed_options(target.__name__, options))

    return decorate if cls is None else decorate(cls)
