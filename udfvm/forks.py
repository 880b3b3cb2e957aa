"""Programs that fork: locks are free in the child, and it imports what other threads imported."""

from __future__ import annotations

import importlib
import os
import sys
import time
from _thread import RLock, get_ident
from types import FrameType

from udfvm.static_typing import Final

_MAX_WAIT: Final = 10.0  # seconds
_LOOK: Final = 0.001  # seconds between two checks
# The packages that calls import.
_NEEDED: Final = {*sys.stdlib_module_names, "cffi", "cloudpickle", "numpy", "pyarrow", "udfvm"}


class ForkLock:
    """A lock, ``lock``, that is free in a forked child, whichever thread held it in the parent:
    that thread does not exist in the child.

    The child gets another lock in its place. If the forking thread itself held the lock, its code
    releases the old one.

    >>> guard = ForkLock()
    >>> with guard.lock, guard.lock:             # more than once, by one thread
    ...     pass
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, RLock] = {}  # by the process, of which this one has at most one

    @property
    def lock(self) -> RLock:
        """The lock of this process."""
        lock = self._locks.get(_forks.made)
        # One step of the interpreter: all threads get the same.
        return lock or self._locks.setdefault(_forks.made, RLock())


class _Forks:
    """How many forks lie between this process and the one that imported udfvm."""

    made = 0


_forks: Final = _Forks()


def _being_imported() -> set[str]:
    """Returns the modules that other threads are importing."""
    own = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        own.add(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return {
        name
        for name, module in list(sys.modules.items())
        if getattr(getattr(module, "__spec__", None), "_initializing", False)
        and name.partition(".")[0] in _NEEDED
        and name not in own
    }


def _await_imports() -> None:
    """Waits until the imports that calls need are done, before a fork.

    Python keeps a lock for each module that is being imported. A child would have the lock, but not
    the thread that releases it. ``_drop_unfinished_imports`` mends that, but a module that is
    imported half cannot always be imported again: numpy, for example.
    """
    end = time.monotonic() + _MAX_WAIT
    while _being_imported() and time.monotonic() < end:
        time.sleep(_LOOK)


def _drop_unfinished_imports() -> None:
    """Lets a child import the modules that other threads were importing when it was forked.

    Such a thread may have begun after ``_await_imports``, or import what calls do not need.
    """
    own = get_ident()
    locks = getattr(importlib._bootstrap, "_module_locks", {})
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is None or getattr(lock, "owner", None) == own:
            continue
        del locks[name]
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            del sys.modules[name]


def _mend_child() -> None:
    _forks.made += 1
    _drop_unfinished_imports()


os.register_at_fork(before=_await_imports, after_in_child=_mend_child)
