"""Makes a call look like a forked child to the program: it finds the sealed state, in another
process. What libraries do in a child, they do here.

Most of it is done once, right before the seal, so that every call finds it done: the program forks
and goes on as the child. Its locks are new then, and generators that notice a fork are marked for
seeding. A library that registered a handler for children only, and none for the parent, probably
seeds a generator in it: such handlers run at the beginning of each call.
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
    """Notes handlers that are registered from now on."""
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
    """Forks. Returns what must run at the beginning of each call; None if nothing must."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fork with other threads warns, and fails below
        try:
            _udfvm_agent.become_child()
            os.fork()
        except OSError:
            pass  # a thread goes on in the image, although a child would not have it
    return _run_in_each_call if _in_each_call else None


def _run_in_each_call() -> None:
    for function in _in_each_call:
        try:
            function()
        except Exception:  # noqa: BLE001 - a fork only reports it, too
            sys.excepthook(*sys.exc_info())
