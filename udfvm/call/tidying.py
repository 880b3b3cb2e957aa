"""The thread of a pool that closes old idle VMs, as long as there are any."""

from __future__ import annotations

from udfvm.static_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    import weakref

    from udfvm.static_typing import Protocol

    class Tidied(Protocol):
        """A pool, as its thread knows it."""

        keep_seconds: float

        def _trim_old(self) -> bool:
            """Closes what is old. Returns whether there is anything left to trim."""


def wake(tidy: threading.Lock) -> None:
    """Lets the thread of ``trim_old`` look. In one step: the garbage collector calls this, too."""
    try:
        tidy.release()
    except RuntimeError:
        pass  # it is to look already


def trim_old(reference: weakref.ref[Tidied], tidy: threading.Lock) -> None:
    """Closes old idle VMs from time to time, until there are none."""
    while (pool := reference()) is not None:
        seconds = pool.keep_seconds
        del pool
        tidy.acquire(timeout=max(0.01, seconds / 4))
        pool = reference()
        if pool is None or not pool._trim_old():
            return
