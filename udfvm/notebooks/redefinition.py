"""A cell that is run again: the new function takes the old one's place wherever that is registered.

A function counts as defined anew if a cell bound its name to another function, and no name means
the old one any more.
"""

from __future__ import annotations

import sys
from typing import Any

from udfvm.functions.function import Function
from udfvm.functions.registrations import replace_everywhere


class Redefinition:
    """Compares the functions that a shell has before and after each cell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._before: dict[str, Function] = {}

    def begin(self) -> None:
        """Watches cells from now on."""
        self._shell.events.register("pre_run_cell", self._look)
        self._shell.events.register("post_run_cell", self._compare)
        self._look()

    def end(self) -> None:
        """Watches no more cells."""
        self._shell.events.unregister("pre_run_cell", self._look)
        self._shell.events.unregister("post_run_cell", self._compare)
        self._before = {}

    def _look(self, info: Any = None) -> None:
        self._before = self._functions()

    def _compare(self, result: Any = None) -> None:
        after = self._functions()
        known = set(map(id, self._before.values()))
        named = set(map(id, after.values()))
        for name, old in self._before.items():
            new = after.get(name)
            if new is not None and id(old) not in named and id(new) not in known:
                self._replace(old, new)
        self._before = after

    def _replace(self, old: Function, new: Function) -> None:
        for failure in replace_everywhere(old, new):
            target = type(failure.target).__name__
            print(
                f"{old.name} is still the function of before in a {target}: {failure.error}",
                file=sys.stderr,
            )

    def _functions(self) -> dict[str, Function]:
        """Returns the functions of the shell's namespace by name."""
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if isinstance(value, Function)
            if not name.startswith("_")  # such as _ and _3, the values of cells
        }
