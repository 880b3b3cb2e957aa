"""Where what functions print may go: the option ``log=``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

Stream = Literal["stdout", "stderr"]
if TYPE_CHECKING:
    import logging

    Log = Literal["forward", "drop", "strict"] | Callable[[str, Stream], object] | logging.Logger
else:
    Log = Any  # programs that do not log do not import logging

_WORDS = ("forward", "drop", "strict")


def check_log(log: object) -> None:
    """Raises ValueError for what ``log=`` cannot be.

    >>> check_log("backward")
    Traceback (most recent call last):
    ValueError: log='backward' must be 'forward', 'drop', 'strict', a logging.Logger or ...
    """
    if not (log in _WORDS if isinstance(log, str) else is_logger(log) or _takes_output(log)):
        raise ValueError(
            f"log={log!r} must be 'forward', 'drop', 'strict', a logging.Logger or a function that"
            " takes (text, stream)"
        )


def is_logger(log: object) -> TypeGuard[logging.Logger]:
    """Whether it is a logger, or an adapter of one."""
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
