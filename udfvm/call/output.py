"""What functions print, and where it goes: ``log=`` of UDFs and of ``udfvm.sqlite.Policy``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from udfvm.codec.guest_text import visible

Stream = Literal["stdout", "stderr"]
if TYPE_CHECKING:
    import logging

    from udfvm.vmm.callbacks import BoundLog, Printed

    Log = Literal["forward", "drop", "strict"] | Callable[[str, Stream], object] | logging.Logger
else:
    Log = object  # programs that do not log do not import logging

_WORDS = ("forward", "drop", "strict")
_INFO, _WARNING = 20, 30  # of module logging
_LONGEST_CHARACTER = 6  # bytes of the visible form, for one byte


def check_log(log: object) -> None:
    """Raises ValueError for what ``log=`` cannot be."""
    if not (log in _WORDS if isinstance(log, str) else _is_logger(log) or _takes_output(log)):
        raise ValueError(
            f"log={log!r} is none of 'forward', 'drop' and 'strict', no logging.Logger, "
            "and no function that can be called with (text, stream)"
        )


def _is_logger(log: object) -> TypeGuard[logging.Logger]:
    logging = sys.modules.get("logging")
    return logging is not None and isinstance(log, (logging.Logger, logging.LoggerAdapter))


def _takes_output(log: object) -> bool:
    """Whether it can be called with two arguments, and what it then does is done."""
    import inspect

    if not callable(log) or inspect.iscoroutinefunction(log):
        return False
    try:
        inspect.signature(log).bind("text", "stdout")
    except TypeError:
        return False
    except ValueError:  # code in C may not tell
        return True
    return True


def shown(text: bytes) -> str:
    """What a guest printed: control characters but newlines and tabs are written out."""
    return visible(text.replace(b"\r\n", b"\n"), _LONGEST_CHARACTER * len(text) + 1)


def bind(log: Log) -> BoundLog:
    """What the core calls with what a function printed."""
    from udfvm.vmm.callbacks import bind_log

    def take(printed: Printed) -> None:
        for stream, text in printed:
            _pass_on(log, "stdout" if stream == 1 else "stderr", shown(text))

    return bind_log(take)


def _pass_on(log: Log, stream: Stream, text: str) -> None:
    if log == "drop":
        return
    if _is_logger(log):
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
    """What the program's stream cannot take, because it is closed or nobody reads it, goes nowhere:
    the call did what it was to do.
    """
    try:
        try:
            target.write(text)
        except UnicodeEncodeError:
            encoding = getattr(target, "encoding", None) or "ascii"
            target.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, ValueError):
        return
