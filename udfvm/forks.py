"""Locks in programs that fork."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final


class ForkLock:
    """A lock, ``lock``, that a forked child finds free, whoever held it in the parent: that thread
    is not in the child.

    The child has another one in its place: where the forking thread itself held it, what it is in
    the midst of releases the old one.

    >>> guard = ForkLock()
    >>> with guard.lock, guard.lock:             # more than once, by one thread
    ...     pass
    """

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        _locks.add(self)


_locks: Final[weakref.WeakSet[ForkLock]] = weakref.WeakSet()


def _renew() -> None:
    for each in list(_locks):
        each.lock = threading.RLock()


os.register_at_fork(after_in_child=_renew)
