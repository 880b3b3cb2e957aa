"""What pyarrow calls for a registered function.

Arrow calls from threads of its own, and frees arrays whenever it likes, even after the interpreter
has ended. Two rules follow:

- Results lie in memory of Arrow's pool. Memory that an object of Python owns would be freed without
  an interpreter, which ends the process by a signal.
- Calls end before the interpreter does. A thread that waits for its lock then is ended in the
  middle of Arrow's code, or waits for ever.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa

from udfvm.call import _fast_path
from udfvm.call.dispatch import Calls
from udfvm.codec.any_columns import concatenated
from udfvm.codec.containers import Container
from udfvm.errors import CallError, PoolClosedError, TypeMappingError
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.function import Function
from udfvm.functions.group import Group
from udfvm.functions.table import TableFunction
from udfvm.types.encodings import has_order
from udfvm.vmm import copy
from udfvm.vmm.cancellation import Cancellation

try:
    from udfvm.functions import _arrow_functions
except ImportError:  # as in arrow_registry
    _arrow_functions = None  # type: ignore[assignment]

Caller: TypeAlias = Callable[[Any, tuple[Any, ...]], Any]

_RECENT: Final = 1.0  # seconds after a call in which others may follow
_PATIENCE: Final = 10.0  # seconds that the end of the interpreter waits for calls at most
_LOOK: Final = 0.005  # seconds between two looks at what threads do
_LOOKS: Final = 5  # that must find all threads asleep


class _Gate:
    """Knows the calls that are being made. Ends them, and refuses others, once the interpreter
    ends.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begins without calls, in a forked child as well."""
        self._threads: list[int] = []  # of each call that Python code makes
        self._last = 0.0
        self._end = Cancellation()
        self._of_scans: list[Cancellation] = []
        _fast_path.begin_column_calls()

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """A call of a function. Raises PoolClosedError once the interpreter ends."""
        thread = threading.get_ident()
        self._last = time.monotonic()
        self._threads.append(thread)
        cancellation = self._end
        address = _arrow_functions.end_of_call() if _arrow_functions else 0
        if address:  # the scan ends it, once another batch failed
            cancellation = Cancellation(address)
            self._of_scans.append(cancellation)
        try:
            with cancellation.applies():
                if self._end:
                    raise KeyboardInterrupt
                yield
        except KeyboardInterrupt:
            if not self._end:
                raise
            raise PoolClosedError(
                f"UDF {name!r}: the interpreter ends, and calls end with it"
            ) from None
        finally:
            self._last = time.monotonic()
            self._threads.remove(thread)
            if address:
                self._of_scans.remove(cancellation)

    def shut(self) -> None:
        """Ends all calls, and waits until nobody makes any: until the threads of the process sleep,
        or there was no call for a while.
        """
        self._end.cancel()
        for each in list(self._of_scans):
            each.cancel()
        _fast_path.end_column_calls()
        begun, asleep = time.monotonic(), 0
        while (
            asleep < _LOOKS
            and (now := time.monotonic()) < begun + _PATIENCE
            and (self._are_made or now < self._last_end + _RECENT)
        ):
            time.sleep(_LOOK)
            asleep = 0 if self._are_made or _others_run() else asleep + 1

    @property
    def _are_made(self) -> bool:
        return bool(self._threads) or _fast_path.column_calls_under_way()[0] > 0

    @property
    def _last_end(self) -> float:
        return max(self._last, _fast_path.column_calls_under_way()[1])


def _others_run() -> bool:
    """Whether a thread of the process other than this one is at work."""
    own = str(threading.get_native_id())
    for thread in Path("/proc/self/task").iterdir():
        try:
            state = (thread / "stat").read_text().rpartition(") ")[2]
        except OSError:  # it has ended
            continue
        if thread.name != own and state[:1] in ("R", "D"):
            return True
    return False


_gate: Final = _Gate()
atexit.register(_gate.shut)
os.register_at_fork(after_in_child=_gate.begin)


def caller_of(function: Function) -> Caller:
    """Returns what makes the calls of a function: with pyarrow's context and arguments."""
    if isinstance(function, TableFunction):
        return functools.partial(_table, function)
    if isinstance(function, AggregateFunction):
        make = functools.partial(_aggregate, function)
    elif function.is_variadic:
        make = functools.partial(_any_number, function)
    else:
        make = functools.partial(_column, function._calls)

    def call(context: Any, arguments: tuple[Any, ...]) -> Any:
        with _gate.call(function_name):
            return make(context, arguments)

    function_name = function.name  # the calls may outlive the function
    return call


def calls_of(function: Function) -> Calls | None:
    """Returns what calls a scalar or vectorised function with columns of numbers; None where
    there is none.
    """
    if function.form not in ("scalar", "vectorized") or function.is_variadic:
        return None
    calls = function._calls
    return calls if calls.codecs.numbers.has_small else None


def _column(calls: Calls, context: Any, arguments: tuple[Any, ...]) -> pa.Array:
    """Calls a scalar or vectorised function. Returns its result, in memory of the caller's pool.

    Failures count their row in the batch: pyarrow does not say which rows of its input that has.
    """
    pool, rows = context.memory_pool, context.batch_length

    def copied(_first_row: int, _rows: int, reply: memoryview) -> pa.Buffer:
        buffer = pa.allocate_buffer(len(reply), memory_pool=pool)
        copy(memoryview(buffer), reply)
        return buffer

    try:
        small = calls.call_small(arguments)
        if small is not NotImplemented:
            return _owned(small, context)
        result = calls.call_columns(arguments, Container.CHUNKED, copied, rows=rows)
    except (CallError, TypeMappingError) as error:
        error.locate(error.row, of="batch")
        raise
    if arguments and not any(isinstance(argument, pa.Array) for argument in arguments):
        return pa.repeat(result[0], rows, memory_pool=pool)
    if result.num_chunks != 1 and has_order(result.type):
        return _owned(concatenated(result.chunks, result.type), context)
    return result.chunk(0) if result.num_chunks == 1 else result.combine_chunks(memory_pool=pool)


def _any_number(function: Function, context: Any, arguments: tuple[Any, ...]) -> pa.Array:
    return _column(function._calls_with(len(arguments)), context, arguments)


def _aggregate(function: AggregateFunction, context: Any, columns: Sequence[pa.Array]) -> pa.Scalar:
    """Returns the value of a group, whose rows are columns. Failures count their row in these."""
    try:
        return _owned(function._value_of(columns, Group.finish_column), context)[0]
    except (CallError, TypeMappingError) as error:
        error.locate(error.row, of="group")
        raise


def _table(function: TableFunction, _: Any, arguments: Sequence[Any]) -> Callable[[Any], pa.Array]:
    """Begins a call of a table function. Returns what gives the next rows each time."""
    fields = list(schema_of(function))
    batches = function.batches(*arguments)

    def next_rows(context: Any) -> pa.Array:
        with _gate.call(function.name):
            batch = next(batches, None)
            columns = [pa.array([], field.type) for field in fields]
            if batch is not None:
                columns = batch.columns
            return _owned(pa.StructArray.from_arrays(columns, fields=fields), context)

    return next_rows


def schema_of(function: TableFunction) -> pa.Schema:
    """Returns the columns of a table function."""
    return pa.schema([each.type.field(each.name, each.nullable) for each in function.columns])


def _owned(array: pa.Array, context: Any) -> pa.Array:
    """Returns an array in memory of the caller's pool."""
    return pa.concat_arrays([array], memory_pool=context.memory_pool)
