"""What functions print, and where it goes: ``log=`` of UDFs and of ``udfvm.sqlite.Policy``."""

from __future__ import annotations

import sys

from udfvm.guest_text import shown
from udfvm.log import Log, Stream, is_logger
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfvm.vmm.callbacks import BoundLog, Printed

_INFO, _WARNING = 20, 30  # of module logging


def bind(log: Log) -> BoundLog:
    """What the core calls with what a function printed."""
    from udfvm.vmm.callbacks import bind_log

    def take(printed: Printed) -> None:
        for stream, text in printed:
            pass_on(log, stream, text)

    return bind_log(take)


def pass_on(log: Log, number: int, written: bytes) -> None:
    """Passes on what a function printed on a stream, 1 or 2."""
    stream: Stream = "stdout" if number == 1 else "stderr"
    text = shown(written)
    if log == "drop":
        return
    if is_logger(log):
        level = _INFO if stream == "stdout" else _WARNING
        for line in text.splitlines():
            log.log(level, "%s", line)
    elif callable(log):
        log(text, stream)
    else:
        # Looked up now: a notebook's cell, or a test that captures output, has its own.
        target: Any = sys.stdout if stream == "stdout" else sys.stderr
        if target is not None:
            _write(target, text)


def _write(target: Any, text: str) -> None:
    """Writes text to a stream of the program. Text that the stream cannot take, because it is
    closed or nobody reads it, is dropped: the call itself has succeeded.
    """
    try:
        try:
            target.write(text)
        except UnicodeEncodeError:
            encoding = getattr(target, "encoding", None) or "ascii"
            target.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, ValueError):
        return
