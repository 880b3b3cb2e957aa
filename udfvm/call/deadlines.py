"""Deadlines of several exchanges together: of all that a table function yields for some rows."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from udfvm.call.runtime import Runtime, RuntimeKeeper
from udfvm.errors import CallTimeoutError


class Deadline:
    """The time that exchanges have together, without the time between them. Each is made within it,
    with the limits that ``left`` returns.

    Raises CallTimeoutError, which says the whole time, where an exchange had what was left of it.

    Args:
        calls: the calls, whose deadline is the whole time.
        runtime: what they need.
        option: what users raise if that does not do.
    """

    def __init__(self, calls: RuntimeKeeper, runtime: Runtime, option: str) -> None:
        self._calls = calls
        self._runtime = runtime
        self._whole_ns = calls.limits.timeout_ns
        self._option = option
        self._used_ns = self._started = 0

    def left(self) -> Any:
        """Returns ``struct udfvm_limits *`` with the time that is left."""
        if not self._whole_ns:
            return self._runtime.limits
        left = max(1, self._whole_ns - self._used_ns)
        runtime = self._runtime
        return self._calls.core_limits(
            left, runtime.host_functions, runtime.log, runtime.first_call
        )

    def __enter__(self) -> None:
        self._started = time.monotonic_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        used_ns = time.monotonic_ns() - self._started
        if error is None and self._used_ns + used_ns >= self._whole_ns:
            return  # it had more, as a first call that imported
        self._used_ns += used_ns
        if isinstance(error, CallTimeoutError) and self._used_ns >= self._whole_ns > 0:
            raise error.within(self._whole_ns / 1e9, self._option) from None
