"""Threads that read ahead of their consumer, or write behind it. The consumer waits in such a way
that Ctrl-C is noticed, which Arrow does not do while it reads or writes.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

_Item = TypeVar("_Item")

LOOK: Final = 0.1  # seconds between two looks of a thread that waits
_AHEAD: Final = 2  # items that wait for the consumer
_BEHIND: Final = 1  # items that wait to be written
_PATIENCE: Final = 0.2  # seconds that the end waits for what cannot be interrupted


def ahead(items: Generator[_Item]) -> Generator[_Item]:
    """Yields items, which a thread of its own makes: at most three more than were taken.

    If the generator is closed, the thread ends at its next item. Where that lasts, only the end of
    the interpreter waits for it: Arrow must not read on after that.

    >>> list(ahead(each for each in range(3)))
    [0, 1, 2]
    """
    made: Passage[_Item] = Passage(_AHEAD)

    def make() -> None:
        with contextlib.closing(items):
            made.put_all(items)

    with _thread("udfvm-read", make, made):
        yield from made


def behind(items: Iterable[_Item], consume: Callable[[Iterator[_Item]], object]) -> None:
    """Has a thread of its own consume items, and returns when it has.

    If making the items raises, the thread ends when it asks for the next, by an exception. Where
    that lasts, only the end of the interpreter waits for it.

    >>> found = []
    >>> behind(range(3), found.extend)
    >>> found
    [0, 1, 2]
    """
    given: Passage[_Item] = Passage(_BEHIND)
    done: Passage[None] = Passage(1)

    def work() -> None:
        try:
            consume(iter(given))
        finally:
            given.close()

    with _thread("udfvm-write", work, done, given):
        given.put_all(items)
        given.end(None)
        for _ in done:
            pass


class _Closed(Exception):
    """The other side of a passage has gone."""


class Passage(Generic[_Item]):
    """Items on their way from one thread to another. Neither waits for one that has gone."""

    def __init__(self, size: int, closed: threading.Event | None = None) -> None:
        """So many items wait at most. ``closed`` closes it, and others that have the same event."""
        self._items: queue.Queue[tuple[Any, bool]] = queue.Queue(size)
        self._closed = closed or threading.Event()
        self._error: BaseException | None = None

    def put_all(self, items: Iterable[_Item]) -> None:
        """Hands over items, as far as they are wanted."""
        for item in items:
            if not self._put(item, True):
                return

    def end(self, error: BaseException | None) -> None:
        """Hands over the end: an exception, or nothing more."""
        self._error = error
        self._put(None, False)

    def close(self) -> None:
        """Ends the waits of both sides."""
        self._closed.set()

    def _put(self, item: object, more: bool) -> bool:
        while not self._closed.is_set():
            try:
                self._items.put((item, more), timeout=LOOK)
            except queue.Full:
                continue
            return True
        return False

    @property
    def has_items(self) -> bool:
        """Whether an item waits, or the end."""
        return not self._items.empty()

    def __iter__(self) -> Iterator[_Item]:
        return self.taken()

    def taken(self, look: Callable[[], object] = lambda: None) -> Generator[_Item]:
        """Yields the items, and calls ``look`` from time to time while there is none."""
        while True:
            if self._closed.is_set():
                raise _Closed
            try:
                item, more = self._items.get(timeout=LOOK)
            except queue.Empty:
                look()
                continue
            if not more:
                if self._error is not None:
                    raise self._error
                return
            yield item
            del item


@contextlib.contextmanager
def _thread(
    name: str, work: Callable[[], None], result: Passage[Any], *others: Passage[Any]
) -> Iterator[None]:
    """A thread that hands over the end of a result, and ends when the passages are closed."""

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the consumer raises it
            result.end(error)
        else:
            result.end(None)

    def close() -> None:
        for passage in (result, *others):
            passage.close()

    def end() -> None:
        close()
        join(thread)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    atexit.register(end)
    try:
        yield
    finally:
        close()
        if join(thread, time.monotonic() + _PATIENCE):
            atexit.unregister(end)


def join(thread: threading.Thread, until: float | None = None) -> bool:
    """Waits for a thread, and notices Ctrl-C. Returns False if it goes on at that time."""
    while thread.is_alive():
        if until is not None and time.monotonic() >= until:
            return False
        thread.join(LOOK if until is None else min(LOOK, max(0.0, until - time.monotonic())))
    return True
