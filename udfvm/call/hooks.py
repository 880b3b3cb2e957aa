"""``udfvm.on_call``: functions of the program that are told of each call that ends."""

from __future__ import annotations

import inspect
import logging
from _thread import _local
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from udfvm.call.reports import CallReport, report_of
from udfvm.errors import OptionError
from udfvm.forks import ForkLock

_log: Final = logging.getLogger("udfvm")


class CallHook:
    """A function that is told of calls, until it is removed: what ``udfvm.on_call`` returns. As a
    context manager it is removed at the end of the ``with``.

    >>> @udfvm.udf
    ... def fifth(x: float) -> float:
    ...     return x / 5
    >>> reports = []
    >>> hook = udfvm.on_call(reports.append)
    >>> fifth(10.0)
    2.0
    >>> hook.remove()
    >>> fifth(15.0), len(reports)
    (3.0, 1)
    """

    def __init__(self, function: Callable[[CallReport], object]) -> None:
        self._function = function

    def __repr__(self) -> str:
        state = "" if self in _hooks.installed else " (removed)"
        return f"CallHook({self._function!r}){state}"

    def remove(self) -> None:
        """Ends it: no call that ends later is told. A second time does nothing."""
        _hooks.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        class_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def _tell(self, report: CallReport) -> None:
        try:
            self._function(report)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - whatever the program's own function raises
            _log.exception("%r failed at a call of %r", self, report.function)


class _Inside(_local):
    """Whether this thread runs a hook."""

    hook = False


class _Hooks:
    """All hooks of the process. The core is told of none, as long as there are none."""

    def __init__(self) -> None:
        self._guard = ForkLock()
        self._inside = _Inside()
        self.installed: tuple[CallHook, ...] = ()

    def add(self, hook: CallHook) -> None:
        with self._guard.lock:
            self._set((*self.installed, hook))

    def remove(self, hook: CallHook) -> None:
        with self._guard.lock:
            self._set(tuple(each for each in self.installed if each is not hook))

    def _set(self, hooks: tuple[CallHook, ...]) -> None:
        from udfvm.vmm.accounts import set_report_hook

        self.installed = hooks
        set_report_hook(self._tell if hooks else None)

    def _tell(self, name: str, found: Any) -> None:
        if self._inside.hook:
            return
        self._inside.hook = True
        try:
            report = report_of(name, found)
            for each in self.installed:
                each._tell(report)
        finally:
            self._inside.hook = False


_hooks: Final = _Hooks()


def on_call(hook: Callable[[CallReport], object]) -> CallHook:
    """Calls a function with the report of each call of a UDF, once that has ended.

    All calls of this process are told, which ``udfvm.stats`` counts too: those of rows and batches
    from Python, of Arrow, SQL and other engines, and those that fail. A batch that is cut, or
    shared between micro-VMs, is several calls; an SQL statement is one for each micro-VM.

    The hook runs on the thread that made the call, when its micro-VM is back in the pool, and
    before the result is returned: the call takes as much longer. Threads of engines call it at the
    same time. For a large result, which is the memory of the micro-VM, that is when the last array
    over it is gone, on whatever thread drops it.

    A hook may call functions; of these calls no hook is told on this thread. What a hook raises is
    logged by the logger ``udfvm``, and harms no call. While there is no hook, a call costs the same
    as if there never was one. Forked children keep the hooks.

    Args:
        hook: takes a ``CallReport``. It must not be a coroutine function.

    Returns:
        What removes the hook: ``CallHook``, also a context manager.

    Raises:
        OptionError: ``hook`` is no such function.

    >>> @udfvm.udf
    ... def sixth(x: float) -> float:
    ...     return x / 6
    >>> with udfvm.on_call(lambda report: print(report.function, report.ending, report.rows)):
    ...     sixth(12.0)
    sixth returned 1
    2.0
    """
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        raise OptionError(f"udfvm.on_call: hook={hook!r} is not a function that takes a report")
    added = CallHook(hook)
    _hooks.add(added)
    return added
