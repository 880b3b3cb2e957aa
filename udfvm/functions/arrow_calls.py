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
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from udfvm.call.dispatch import Calls
from udfvm.codec.containers import Container
from udfvm.errors import CallError, PoolClosedError
from udfvm.vmm import copy
from udfvm.vmm.cancellation import Cancellation

_QUIET: Final = 0.05  # seconds without a call, after which no scan is taken to be at work
_PATIENCE: Final = 10.0  # seconds that the end of the interpreter waits for calls at most


class _Gate:
    """Knows the calls that are being made. Ends them, and refuses others, once the interpreter
    ends.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begins without calls, in a forked child as well."""
        self._threads: list[int] = []  # of each call
        self._last = 0.0
        self._end = Cancellation()

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """A call of a function. Raises PoolClosedError once the interpreter ends."""
        thread = threading.get_ident()
        self._last = time.monotonic()
        self._threads.append(thread)
        try:
            with self._end.applies():
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

    def shut(self) -> None:
        """Ends all calls, and waits until nobody makes any."""
        self._end.cancel()
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + _PATIENCE and (
            self._threads or now < self._last + _QUIET
        ):
            time.sleep(_QUIET / 10)


_gate: Final = _Gate()
atexit.register(_gate.shut)
os.register_at_fork(after_in_child=_gate.begin)


def columns_in(pool: pa.MemoryPool, name: str, calls: Calls, arguments: Sequence[Any]) -> pa.Array:
    """Calls a function with columns and values. Returns its result in memory of the pool.

    Failures count their row in the batch: pyarrow does not say which rows of its input that has.
    """

    def copied(reply: memoryview) -> pa.Buffer:
        buffer = pa.allocate_buffer(len(reply), memory_pool=pool)
        copy(memoryview(buffer), reply)
        return buffer

    with _gate.call(name):
        calls.follow()
        try:
            result = calls.call_columns(arguments, Container.CHUNKED, copied)
        except CallError as error:
            error.locate(error.row, of_batch=True)
            raise
    return result.chunk(0) if result.num_chunks == 1 else result.combine_chunks(memory_pool=pool)
