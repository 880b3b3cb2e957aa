"""``sys.stdout`` and ``sys.stderr`` while functions run in this process: what they print belongs to
their calls, and what other threads print does not.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udfvm.forks import ForkLock
from udfvm.static_typing import Any, Final, TypeAlias

#: Returns what takes the bytes that this thread writes to a stream, 1 or 2; None for the program's.
Sinks: TypeAlias = "Callable[[int], Callable[[bytes], None] | None]"

_NAMES: Final = {1: "stdout", 2: "stderr"}


class _Stream(io.TextIOBase):
    """Text goes to the sink of the thread, if it has one, or else to the stream of before."""

    def __init__(self, number: int, before: Any, sinks: Sinks) -> None:
        self.before = before
        self._number = number
        self._sinks = sinks

    def write(self, text: str) -> int:
        """Writes text, and returns its length."""
        sink = self._sinks(self._number)
        if sink is None:
            return 0 if self.before is None else int(self.before.write(text))
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream of before."""
        if self.before is not None and self._sinks(self._number) is None:
            self.before.flush()

    def writable(self) -> bool:
        """Says that text can be written."""
        return True

    def isatty(self) -> bool:
        """Says whether a terminal takes what is written."""
        is_own = self._sinks(self._number) is not None
        return not is_own and self.before is not None and bool(self.before.isatty())

    def fileno(self) -> int:
        """Returns the descriptor of the stream of before."""
        return int(self.before.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The name of the encoding."""
        return "utf-8"


class _Installed(ForkLock):
    """How many calls have the streams in place."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0


_installed: Final = _Installed()


@contextmanager
def captured(sinks: Sinks) -> Iterator[None]:
    """Lets sinks take what threads write to the standard streams."""
    with _installed.lock:
        _installed.calls += 1
        if _installed.calls == 1:
            for number, name in _NAMES.items():
                setattr(sys, name, _Stream(number, getattr(sys, name), sinks))
    try:
        yield
    finally:
        with _installed.lock:
            _installed.calls -= 1
            if _installed.calls == 0:
                for name in _NAMES.values():
                    stream = getattr(sys, name)
                    if isinstance(stream, _Stream):  # else the program has another by now
                        setattr(sys, name, stream.before)
