"""Deadlines of several exchanges together: of all that a table function yields for some rows."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from udfvm.call.runtime import Runtime
from udfvm.errors import CallTimeoutError
from udfvm.limits import Limits


class Deadline:
    """The time that exchanges have together, without the time between them. Each is made within it,
    with the limits that ``left`` returns.

    Raises CallTimeoutError, which says the whole time, where an exchange had what was left of it.

    Args:
        runtime: what calls need.
        limits: the limits of the calls; their ``timeout_ns`` is the whole time, 0 for any.
        option: what users raise if that does not do.
    """

    def __init__(self, runtime: Runtime, limits: Limits, option: str) -> None:
        self._runtime = runtime
        self._limits = limits
        self._option = option
        self._used_ns = self._started = 0

    def left(self) -> Any:
        """Returns ``struct udfvm_limits *`` with the time that is left."""
        from udfvm.vmm import core_limits

        if not self._limits.timeout_ns:
            return self._runtime.limits
        left = self._limits._replace(timeout_ns=max(1, self._limits.timeout_ns - self._used_ns))
        return core_limits(left, self._runtime.host_functions, self._runtime.log)

    def __enter__(self) -> None:
        self._started = time.monotonic_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._used_ns += time.monotonic_ns() - self._started
        whole = self._limits.timeout_ns
        if isinstance(error, CallTimeoutError) and self._used_ns >= whole > 0:
            raise error.within(whole / 1e9, self._option) from None
