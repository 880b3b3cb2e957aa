"""``udfvm.log_calls``: a line of the log for each call."""

from __future__ import annotations

import logging
from typing import Final

from udfvm.call.hooks import CallHook, on_call
from udfvm.call.reports import RETURNED, CallReport, duration
from udfvm.errors import OptionError
from udfvm.texts import counted

_log: Final = logging.getLogger("udfvm")


def log_calls(level: int = logging.DEBUG) -> CallHook:
    """Logs each call that ends, of whichever function, with the logger ``udfvm``.

    A record has the report of the call as its attribute ``report``, for handlers that write JSON.
    A call that no handler wants costs no more than a call with any other hook.

    Args:
        level: the level of the records. Those of calls that fail have it, too: the error itself
            reaches the program.

    Returns:
        What ends it: ``CallHook``, also a context manager.

    Raises:
        OptionError: ``level`` is not a number of a level.

    >>> import logging, sys
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> logging.getLogger("udfvm").addHandler(handler)
    >>> logging.getLogger("udfvm").setLevel(logging.INFO)
    >>> @udfvm.udf
    ... def seventh(x: float) -> float:
    ...     return x / 7
    >>> with udfvm.log_calls(logging.INFO):
    ...     seventh(14.0)
    seventh: 1 row, 1 exit, returned after ...
    2.0
    >>> logging.getLogger("udfvm").removeHandler(handler)
    """
    if not isinstance(level, int) or isinstance(level, bool):
        raise OptionError(
            f"udfvm.log_calls: level={level!r} is not a number, such as logging.DEBUG"
        )

    def log(report: CallReport) -> None:
        if _log.isEnabledFor(level):
            _log.log(level, "%s", _Line(report), extra={"report": report})

    return on_call(log)


class _Line:
    """The text of a record, which is made when a handler wants it."""

    def __init__(self, report: CallReport) -> None:
        self._report = report

    def __str__(self) -> str:
        report = self._report
        ending = RETURNED if report.ending == RETURNED else f"{report.ending}, ended"
        parts = [
            counted(report.rows, "row"),
            counted(report.exits, "exit"),
            *([counted(report.host_calls, "host call")] if report.host_calls else []),
            f"{ending} after {duration(report.seconds)}",
        ]
        return f"{report.function}: {', '.join(parts)}"
