"""To the program a call is what a forked child is: it finds all that was sealed, in another
process. What libraries do in a child, they do here.

Most of it is done once, right before the seal, so that every call finds it done: the program forks,
and goes on as the child. Locks are new then, and generators that notice a fork are marked to be
seeded. What a library registered to be run in children and nothing else is likely to seed something
at once, and runs at the beginning of each call.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import _udfvm_agent

_register = os.register_at_fork
_in_each_call: list[Callable[[], object]] = []


def watch() -> None:
    """From now on takes note of what is registered."""
    os.register_at_fork = _noting


def _noting(*, before: Any = None, after_in_child: Any = None, after_in_parent: Any = None) -> None:
    given = {"before": before, "after_in_child": after_in_child, "after_in_parent": after_in_parent}
    _register(**{name: function for name, function in given.items() if function is not None})
    module = sys._getframe(1).f_globals.get("__name__") or ""
    if (
        before is None
        and after_in_parent is None
        and module.partition(".")[0] not in sys.stdlib_module_names
    ):
        _in_each_call.append(after_in_child)


def become_child() -> Callable[[], object] | None:
    """Forks. Returns what is to be run at the beginning of each call; None: nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other threads, with which it fails
        try:
            _udfvm_agent.become_child()
            os.fork()
        except OSError:
            pass  # a thread goes on in the image, which no child would have
    return _run_in_each_call if _in_each_call else None


def _run_in_each_call() -> None:
    for function in _in_each_call:
        try:
            function()
        except Exception:  # noqa: BLE001 - as in a fork, of which it is reported and no more
            sys.excepthook(*sys.exc_info())
