"""The option ``log=``: where the output of functions goes; and udfvm's own lines of the log."""

from __future__ import annotations

import sys
from collections.abc import Callable

from udfvm.errors import OptionError
from udfvm.static_typing import TYPE_CHECKING, Any, Literal, TypeGuard

Stream = Literal["stdout", "stderr"]
if TYPE_CHECKING:
    import logging

    Log = Literal["forward", "drop", "strict"] | Callable[[str, Stream], object] | logging.Logger
else:
    Log = Any  # so that programs that do not log do not import logging

_WORDS = ("forward", "drop", "strict")


def check_log(log: object) -> None:
    """Raises OptionError for a value that ``log=`` cannot have.

    >>> check_log("backward")
    Traceback (most recent call last):
    udfvm.errors.OptionError: log='backward' must be 'forward', 'drop', 'strict', a ...
    """
    if not (log in _WORDS if isinstance(log, str) else is_logger(log) or _takes_output(log)):
        raise OptionError(
            f"log={log!r} must be 'forward', 'drop', 'strict', a logging.Logger or a function that"
            " takes (text, stream)"
        )


def is_logger(log: object) -> TypeGuard[logging.Logger]:
    """Returns True for a logger and for a logger adapter."""
    logging = sys.modules.get("logging")
    return logging is not None and isinstance(log, (logging.Logger, logging.LoggerAdapter))


def debugs() -> bool:
    """Whether the logger ``udfvm`` takes lines at the level DEBUG. A program that has not imported
    ``logging`` has no handler that would.
    """
    logging = sys.modules.get("logging")
    return logging is not None and logging.getLogger("udfvm").isEnabledFor(logging.DEBUG)


def debug(text: str, *arguments: object) -> None:
    """Writes a line of the log, if the level is on."""
    if debugs():
        sys.modules["logging"].getLogger("udfvm").debug(text, *arguments)


def _takes_output(log: object) -> bool:
    """Returns True for a callable with two arguments that is not a coroutine function."""
    import inspect

    if not callable(log) or inspect.iscoroutinefunction(log):
        return False
    try:
        inspect.signature(log).bind("text", "stdout")
    except TypeError:
        return False
    except ValueError:  # a function in C without a signature
        return True
    return True
