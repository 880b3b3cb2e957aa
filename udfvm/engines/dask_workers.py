"""Calls of functions on workers of Dask, which end with their tasks.

A worker goes on with a task that was cancelled, as Python's threads cannot be stopped. It tells its
plugins, however. So a plugin ends the calls of such a task, and all calls when the worker closes.
The task then asks to be scheduled again, which the scheduler does if anybody waits for it after
all.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from distributed import Reschedule, WorkerPlugin, get_worker

from udfvm.forks import ForkLock
from udfvm.vmm.cancellation import Cancellation

_NAME: Final = "udfvm-calls"
_RUNNING: Final = frozenset({"executing", "long-running"})


def calls_of_task() -> AbstractContextManager[None] | None:
    """Returns a context in which this thread makes the calls of its task; None if it runs no task
    of a worker.
    """
    try:
        worker = get_worker()
        key = worker.get_current_task()
    except (ValueError, KeyError):
        return None
    return _plugin_of(worker).calls_of(key)


class _Calls(WorkerPlugin):
    """The calls of a worker's tasks. The worker calls the methods that ``WorkerPlugin`` has, too,
    on its own thread.
    """

    def __init__(self, worker: Any) -> None:
        self._tasks = worker.state.tasks
        self._running: dict[Cancellation, Any] = {}  # the key of the task
        self._is_closed = False

    @contextlib.contextmanager
    def calls_of(self, key: Any) -> Iterator[None]:
        """Within it this thread makes the calls of a task. Raises Reschedule if they ended with
        it.
        """
        cancellation = Cancellation()
        self._running[cancellation] = key
        try:
            self._look_at(cancellation, key)
            with cancellation.applies():
                yield
        except KeyboardInterrupt:
            if not cancellation:
                raise
            raise Reschedule from None
        finally:
            del self._running[cancellation]

    def setup(self, worker: Any) -> None:
        """Ends the calls of tasks that were cancelled before the worker had the plugin."""
        for cancellation, key in self._running.copy().items():
            self._look_at(cancellation, key)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Ends the calls of a task that nobody waits for."""
        if start in _RUNNING and finish == "released":
            for cancellation, of in self._running.copy().items():
                if of == key:
                    cancellation.cancel()

    def teardown(self, worker: Any) -> None:
        """Ends all calls."""
        self._is_closed = True
        for cancellation in self._running.copy():
            cancellation.cancel()

    def _look_at(self, cancellation: Cancellation, key: Any) -> None:
        task = self._tasks.get(key)
        if self._is_closed or task is None or task.state == "cancelled":
            cancellation.cancel()


_plugins: Final[weakref.WeakKeyDictionary[Any, _Calls]] = weakref.WeakKeyDictionary()
_plugins_lock: Final = ForkLock()


def _plugin_of(worker: Any) -> _Calls:
    with _plugins_lock.lock:
        plugin = _plugins.get(worker)
        if plugin is None:
            plugin = _plugins[worker] = _Calls(worker)
            worker.loop.add_callback(worker.plugin_add, plugin=plugin, name=_NAME)
    return plugin
